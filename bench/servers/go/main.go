// The same over Go's net and bufio.
//
//	server SERVICE PORT [CERT KEY]
package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
)

var services = map[string]func(net.Conn){
	"echo":      echo,
	"echo-copy": func(conn net.Conn) { io.Copy(conn, conn) },
	"lines":     lines,
	"pings":     pings,
	"frames":    frames,
	"greeting":  greeting,
	"broadcast": broadcast,
}

func echo(conn net.Conn) {
	buffer := make([]byte, 64*1024)
	for {
		count, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err := conn.Write(buffer[:count]); err != nil {
			return
		}
	}
}

func lines(conn net.Conn) {
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		out.WriteString(line)
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}

func pings(conn net.Conn) {
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

func frames(conn net.Conn) {
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	header := make([]byte, 4)
	for {
		if _, err := io.ReadFull(in, header); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(header))
		if _, err := io.ReadFull(in, frame); err != nil {
			return
		}
		out.Write(header)
		out.Write(frame)
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}

func greeting(conn net.Conn) {
	io.WriteString(conn, "welcome!")
	buffer := make([]byte, 1024)
	for {
		count, err := conn.Read(buffer)
		name := string(buffer[:count])
		if err != nil || name == "exit" {
			return
		}
		io.WriteString(conn, "hello, "+name+"!")
	}
}

var subscribers sync.Map

func broadcast(conn net.Conn) {
	io.WriteString(conn, "welcome!")
	subscribers.Store(conn, true)
	defer subscribers.Delete(conn)
	buffer := make([]byte, 1024)
	for {
		count, err := conn.Read(buffer)
		if err != nil {
			return
		}
		subscribers.Range(func(subscriber, _ any) bool {
			subscriber.(net.Conn).Write(buffer[:count])
			return true
		})
	}
}

func listen(args []string) (net.Listener, error) {
	if len(args) == 1 {
		return net.Listen("tcp", "127.0.0.1:"+args[0])
	}
	pair, err := tls.LoadX509KeyPair(args[1], args[2])
	if err != nil {
		return nil, err
	}
	return tls.Listen("tcp", "127.0.0.1:"+args[0], &tls.Config{Certificates: []tls.Certificate{pair}})
}

func main() {
	collect := make(chan os.Signal, 1)
	signal.Notify(collect, syscall.SIGUSR2)
	go func() {
		for range collect {
			debug.FreeOSMemory()
		}
	}()
	serve := services[os.Args[1]]
	listener, err := listen(os.Args[2:])
	if err != nil {
		panic(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			continue
		}
		go func() {
			defer conn.Close()
			serve(conn)
		}()
	}
}
