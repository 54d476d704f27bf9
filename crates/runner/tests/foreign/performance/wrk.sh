"$1/hello" &
until (: </dev/tcp/127.0.0.1/8080) 2>/dev/null; do kill -0 $! || exit 1; done
wrk -t1 -c50 -d3s http://127.0.0.1:8080/ | awk '/^Requests/ { print "wrk", $2 }'
kill $!
