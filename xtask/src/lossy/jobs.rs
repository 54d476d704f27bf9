//! Who serves on node a or at the switch, who asks on node b, and what is seen when the job is done. Each side begins in an empty folder of the job's own;
//! `$1` is where what [`super::brought`] brings is: programs, and below `debian` the files of packages that are not installed;
//! `$2` is the node.

/// One job of two programs.
pub struct Job {
    pub name: &'static str,
    /// On which nodes the server runs.
    pub servers: &'static [&'static str],
    /// Ended when the job is done.
    pub server: &'static str,
    /// On b, 10.0.0.2; asked again while the server is not there yet.
    pub client: &'static str,
    /// Words that the client prints when all went well, and not otherwise.
    pub says: &'static str,
}

/// 10.0.0.1.
const A: &[&str] = &["a"];
/// 10.0.1.1 to 10.0.1.5.
const PEERS: &[&str] = &["p1", "p2", "p3", "p4", "p5"];

const IPERF3: &str = "exec iperf3 -s";
const HELLO: &str = "exec \"$1/hello\"";
const DNSMASQ: &str = "exec /usr/sbin/dnsmasq --keep-in-foreground --user= --conf-file=/dev/null --no-resolv \
    --no-hosts --port=5353 --address=/a.test/192.0.2.1 --pid-file=";
/// Two workers that answer with their own process id and close each connection; `nginx.pid` has the master's.
const NGINX: &str = "mkdir -p logs; cat >conf <<<'
    daemon off; worker_processes 2; pid nginx.pid; error_log error.log notice;
    events { }
    http {
        access_log off; keepalive_timeout 0; default_type text/plain;
        client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
        server { listen 8000; location / { root .; } location /worker { return 200 \"$pid\\n\"; } }
    }'
    seq 200000 >f; exec \"$1/debian/usr/sbin/nginx\" -p . -c conf";
/// Lets in who has the key; the home of both sides has what a client needs. The name of this user and its shell are told by
/// libnss-wrapper, as nobody has no shell.
const SSHD: &str = "git init -q r; cd r; seq 50000 >f; git add f
    git -c user.name=a -c user.email=a@a.test commit -q -m first; cd ..
    rm -f ~/key ~/key.pub ~/ssh; ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f ~/key
    echo \"a:x:$(id -u):$(id -g)::$PWD:/bin/bash\" >~/passwd; echo \"a:x:$(id -g):\" >~/group
    printf '%s\\n' 'Host x' 'HostName 10.0.0.1' 'Port 2222' 'User a' \"IdentityFile $HOME/key\" \
        'StrictHostKeyChecking no' 'UserKnownHostsFile /dev/null' 'LogLevel ERROR' >~/ssh
    lib=\"$1/debian/usr/lib/x86_64-linux-gnu\"; export LD_LIBRARY_PATH=\"$lib\"
    export LD_PRELOAD=\"$lib/libnss_wrapper.so\" NSS_WRAPPER_PASSWD=\"$HOME/passwd\" NSS_WRAPPER_GROUP=\"$HOME/group\"
    exec \"$1/debian/usr/sbin/sshd\" -D -f /dev/null \
        -h \"$PWD/host\" -p 2222 -o StrictModes=no -o UsePAM=no -o PidFile=none -o AuthorizedKeysFile=\"$HOME/key.pub\" \
        -o Subsystem='sftp internal-sftp'";
/// All of them, in the order in which they run.
pub const JOBS: [Job; 27] = [
    Job {
        name: "iperf3",
        servers: A,
        server: IPERF3,
        client: "iperf3 -c 10.0.0.1 -t 2",
        says: "receiver",
    },
    Job {
        name: "iperf3-reverse",
        servers: A,
        server: IPERF3,
        client: "iperf3 -R -c 10.0.0.1 -t 2",
        says: "receiver",
    },
    Job {
        name: "iperf3-four",
        servers: A,
        server: IPERF3,
        client: "iperf3 -P 4 -c 10.0.0.1 -t 2 | grep SUM",
        says: "receiver",
    },
    Job {
        name: "iperf3-udp",
        servers: A,
        server: IPERF3,
        client: "iperf3 -u -b 5M -c 10.0.0.1 -t 2",
        says: "receiver",
    },
    Job {
        name: "http-python-curl",
        servers: A,
        server: "seq 200000 >f; exec python3 -m http.server 8000",
        client: "test \"$(curl -sf http://10.0.0.1:8000/f | cksum)\" = \"$(seq 200000 | cksum)\" && echo whole",
        says: "whole",
    },
    Job {
        name: "http-python-wget",
        servers: A,
        server: "seq 200000 >f; exec python3 -m http.server 8000",
        client: "test \"$(wget -qO- http://10.0.0.1:8000/f | cksum)\" = \"$(seq 200000 | cksum)\" && echo whole",
        says: "whole",
    },
    Job {
        name: "http-go-curl",
        servers: A,
        server: HELLO,
        client: "curl -sf http://10.0.0.1:8080/",
        says: "hello",
    },
    Job {
        name: "http-go-wrk",
        servers: A,
        server: HELLO,
        client: "curl -sf http://10.0.0.1:8080/ && wrk -t1 -c8 -d2s http://10.0.0.1:8080/",
        says: "Requests/sec",
    },
    Job {
        name: "http-node-curl",
        servers: A,
        server: "exec node -e 'require(\"http\").createServer((q, r) => r.end(\"hello\\n\")).listen(8000)'",
        client: "curl -sf http://10.0.0.1:8000/",
        says: "hello",
    },
    Job {
        name: "dns-dig-tcp",
        servers: A,
        server: DNSMASQ,
        client: "dig +tcp +short @10.0.0.1 -p 5353 a.test",
        says: "192.0.2.1",
    },
    Job {
        name: "dns-dnsperf",
        servers: A,
        server: DNSMASQ,
        client: "dig +tcp +short @10.0.0.1 -p 5353 a.test | grep -q 192 || exit 1
            echo a.test A >q; dnsperf -s 10.0.0.1 -p 5353 -d q -l 2 | grep -E 'completed: +[1-9]'",
        says: "Queries completed",
    },
    Job {
        name: "redis-benchmark",
        servers: A,
        server: "exec -a redis-server redis-check-rdb --port 6390 --save '' --protected-mode no",
        // Where nobody listens, redis-benchmark never ends.
        client: "test \"$(redis-cli -h 10.0.0.1 -p 6390 ping)\" = PONG && redis-benchmark -h 10.0.0.1 -p 6390 -n 2000 -t set,get -q",
        says: "GET: ",
    },
    Job {
        name: "openssl",
        servers: A,
        server: "openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c -days 2 -subj /CN=a.test
            exec openssl s_server -key k -cert c -accept 4433 -www",
        client: "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | openssl s_client -connect 10.0.0.1:4433 -ign_eof",
        says: "HTTP/1.0 200 ok",
    },
    Job {
        name: "nc-bash",
        servers: A,
        server: "echo hello | nc -lN 0.0.0.0 7000",
        client: "cat </dev/tcp/10.0.0.1/7000",
        says: "hello",
    },
    Job {
        name: "git",
        servers: A,
        server: "git init -q r; cd r; seq 50000 >f; git add f
            git -c user.name=a -c user.email=a@a.test commit -q -m first; git update-server-info; cd ..
            exec git daemon --reuseaddr --export-all --base-path=. .",
        client: "rm -rf c; git clone -q git://10.0.0.1/r c && test \"$(cksum <c/f)\" = \"$(seq 50000 | cksum)\" && echo whole",
        says: "whole",
    },
    Job {
        name: "git-http",
        servers: A,
        server: "git init -q r; cd r; seq 50000 >f; git add f
            git -c user.name=a -c user.email=a@a.test commit -q -m first; git update-server-info; cd ..
            exec python3 -m http.server 8000",
        client: "rm -rf c; git clone -q http://10.0.0.1:8000/r/.git c && test \"$(cksum <c/f)\" = \"$(seq 50000 | cksum)\" && echo whole",
        says: "whole",
    },
    Job {
        name: "rsync",
        servers: A,
        server: "mkdir d; seq 100000 >d/f; printf 'use chroot = no\\n[d]\\npath = %s/d\\n' \"$PWD\" >conf
            exec rsync --daemon --no-detach --port 8730 --config=conf --log-file=/dev/null",
        client: "rsync -a rsync://10.0.0.1:8730/d/ got && cmp got/f <(seq 100000) && echo whole",
        says: "whole",
    },
    Job {
        name: "nginx-wrk-reload",
        servers: A,
        server: NGINX,
        // Each worker that answers before the reload has gone when it is over, and no request was lost.
        client: "worker() { curl -sf http://10.0.0.1:8000/worker; }
            before=$(worker) || exit 1
            test \"$(curl -sf http://10.0.0.1:8000/f | cksum)\" = \"$(seq 200000 | cksum)\" || exit 1
            wrk -t1 -c8 -d4s http://10.0.0.1:8000/worker >said & sleep 1
            kill -HUP \"$(cat ../nginx-wrk-reload-a/nginx.pid)\"; wait; cat said
            ! kill -0 \"$before\" && worker && ! grep -E '(connect|read|write) [1-9]|Non-2xx' said && echo reloaded",
        says: "reloaded",
    },
    Job {
        name: "postgres-pgbench",
        servers: A,
        server: "p=\"$1/debian/usr/lib/postgresql/15/bin\"; export LD_LIBRARY_PATH=\"$1/debian/usr/lib/x86_64-linux-gnu\"
            \"$p/initdb\" -D d -U a -A trust -N -E UTF8 --locale=C.UTF-8; echo 'host all all 10.0.0.0/24 trust' >>d/pg_hba.conf
            exec \"$p/postgres\" -D d -h 10.0.0.1 -p 5433 -k ''",
        client: "p=\"$1/debian/usr/lib/postgresql/15/bin\"; export LD_LIBRARY_PATH=\"$1/debian/usr/lib/x86_64-linux-gnu\"
            export PGHOST=10.0.0.1 PGPORT=5433 PGUSER=a PGDATABASE=postgres
            \"$p/pgbench\" -i -q && \"$p/pgbench\" -n -c 4 -j 2 -T 2 &&
            \"$p/pgbench\" -n -M prepared -C -c 4 -j 2 -T 2 && echo twice",
        says: "twice",
    },
    Job {
        name: "memcached",
        servers: A,
        server: "exec \"$1/debian/usr/bin/memcached\" -l 10.0.0.1 -p 11211 -t 4",
        client: "s=--servers=10.0.0.1:11211
            memcping $s && seq 100000 >f && memccp $s f && cmp <(memccat $s f) <(cat f; echo) || exit 1
            load=\"$s --concurrency=4 --execute-number=200\"
            memcslap $load --test=get && memcslap $load --binary --test=mget && echo whole",
        says: "whole",
    },
    Job {
        name: "ssh",
        servers: A,
        server: SSHD,
        client: "ssh=\"ssh -F $HOME/ssh x\"
            cmp <($ssh cat r/f) <(seq 50000) && cmp <(seq 100000 | $ssh cat) <(seq 100000) &&
            sftp -q -F \"$HOME/ssh\" x:r/f got && cmp got <(seq 50000) && echo whole",
        says: "whole",
    },
    Job {
        name: "git-ssh",
        servers: A,
        server: SSHD,
        client: "export GIT_SSH_COMMAND=\"ssh -F $HOME/ssh\"
            rm -rf c; git clone -q x:r c && test \"$(cksum <c/f)\" = \"$(seq 50000 | cksum)\" && echo whole",
        says: "whole",
    },
    Job {
        name: "http-java-wrk",
        servers: A,
        server: "exec java \"$1/Hello.java\"",
        client: "cmp <(seq 100000 | curl -sf --data-binary @- http://10.0.0.1:8000/) <(echo hello; seq 100000) &&
            wrk -t1 -c8 -d2s http://10.0.0.1:8000/",
        says: "Requests/sec",
    },
    Job {
        name: "static-go",
        servers: A,
        server: "exec \"$1/echo-go\" serve 0.0.0.0:7100",
        client: "\"$1/echo-go\" ask 10.0.0.1:7100",
        says: "all eight came back",
    },
    Job {
        name: "static-rust",
        servers: A,
        server: "exec \"$1/echo-rust\" serve 0.0.0.0:7100",
        client: "\"$1/echo-rust\" ask 10.0.0.1:7100",
        says: "all eight came back",
    },
    Job {
        name: "chromium",
        servers: A,
        // What the page shows in the end comes from a second request, made by its script.
        server: "cat >index.html <<<'<p>old</p><script>
            fetch(\"word.json\").then(r => r.json()).then(w => document.querySelector(\"p\").textContent = w + w)</script>'
            echo '\"new\"' >word.json; exec python3 -m http.server 8000",
        client: "chromium-headless-shell --no-sandbox --user-data-dir=\"$PWD/profile\" --virtual-time-budget=5000 \\
            --dump-dom http://10.0.0.1:8000/",
        says: "<p>newnew</p>",
    },
    Job {
        name: "swarm",
        servers: PEERS,
        // p1 has the file and runs the tracker, which serves what its list names.
        server: "if test \"$2\" = p1; then
                seq 250000 >f; mktorrent -a http://10.0.1.1:6969/announce -o new f
                aria2c --no-conf -S new | sed -n 's/^Info Hash: //p' >list
                LD_LIBRARY_PATH=\"$1/debian/usr/lib\" \"$1/debian/usr/bin/opentracker\" -i 10.0.1.1 -p 6969 -w list &
                mv new ../torrent
            fi
            while ! test -f ../torrent; do sleep 0.1; done
            exec aria2c --no-conf --check-integrity --enable-dht=false --bt-enable-lpd=false --listen-port=6881 --seed-ratio=0 \\
                --max-upload-limit=500K --bt-tracker-interval=1 --summary-interval=1 --file-allocation=none ../torrent >said",
        // All have all of it, and p1 gave less than three of the four copies away.
        client: "for n in 2 3 4 5; do cmp ../swarm-p$n/f <(seq 250000) || exit 1; done
            grep -o 'SEED([0-9.]*)' ../swarm-p1/said | tail -n 1 | grep 'SEED([0-2]'",
        says: "SEED(",
    },
];
