// An HTTP server that says hello.
package main

import (
	"fmt"
	"net/http"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	panic(http.ListenAndServe(":8080", nil))
}
