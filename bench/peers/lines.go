// Answers +PONG to each line, gathered by bufio until the input runs dry. The port is the argument.
package main

import (
	"bufio"
	"net"
	"os"
	"runtime"
)

func main() {
	runtime.GOMAXPROCS(1)
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		panic(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			continue
		}
		go serve(conn)
	}
}

func serve(conn net.Conn) {
	defer conn.Close()
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	for {
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
		out.WriteString("+PONG\r\n")
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}
