exec "$1/latency"
