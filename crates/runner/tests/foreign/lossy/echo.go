// `echo serve ADDRESS` gives back what each connection sends; `echo ask ADDRESS` sends a text over eight of them at once and compares.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
)

func main() {
	if os.Args[1] == "serve" {
		serve(os.Args[2])
	}
	done := make(chan error)
	for i := 0; i < 8; i++ {
		text := bytes.Repeat([]byte(fmt.Sprintf("connection %d\n", i)), 20000)
		go func() { done <- ask(os.Args[2], text) }()
	}
	for i := 0; i < 8; i++ {
		check(<-done)
	}
	fmt.Println("all eight came back")
}

func serve(address string) {
	listener, err := net.Listen("tcp", address)
	check(err)
	for {
		connection, err := listener.Accept()
		check(err)
		go func() {
			defer connection.Close()
			io.Copy(connection, connection)
		}()
	}
}

func ask(address string, text []byte) error {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	go func() {
		connection.Write(text)
		connection.(*net.TCPConn).CloseWrite()
	}()
	back, err := io.ReadAll(connection)
	if err == nil && !bytes.Equal(back, text) {
		err = fmt.Errorf("%d bytes came back of %d", len(back), len(text))
	}
	return err
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
