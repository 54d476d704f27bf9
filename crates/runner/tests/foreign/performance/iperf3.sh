iperf3 -s -1 >/dev/null 2>&1 &
until iperf3 -c 127.0.0.1 -t 3 -f m >iperf3.out 2>&1; do kill -0 $! || exit 1; done
awk '/receiver/ { print "iperf3", $7 }' iperf3.out
