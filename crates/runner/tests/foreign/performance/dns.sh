/usr/sbin/dnsmasq --keep-in-foreground --user= --conf-file=/dev/null --no-resolv --no-hosts --port=5353 \
    --address=/a.test/192.0.2.1 --listen-address=127.0.0.1 --bind-interfaces --pid-file= >/dev/null 2>&1 &
echo a.test A >queries
until dnsperf -s 127.0.0.1 -p 5353 -d queries -n 1 2>/dev/null | grep -q 'completed: *1 '; do kill -0 $! || exit 1; done
dnsperf -s 127.0.0.1 -p 5353 -d queries -l 3 | awk '/Queries per second/ { print "dns", $4 }'
kill $!
