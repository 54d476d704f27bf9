# One program is server and checker, as it is called.
(exec -a redis-server redis-check-rdb --port 6379 --save '' --loglevel warning) >/dev/null 2>&1 &
until redis-cli ping >/dev/null 2>&1; do kill -0 $! || exit 1; done
redis-benchmark -t set,get -n 50000 -c 50 --csv | awk -F '"' '/^"[SG]ET"/ { print "redis-" tolower($2), $4 }'
redis-cli shutdown nosave
