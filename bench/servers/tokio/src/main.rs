//! The same over Tokio.
//!
//!     server SERVICE PORT

use std::collections::HashMap;
use std::io::Result;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};

async fn echo(mut stream: TcpStream) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}

async fn lines(mut stream: TcpStream) -> Result<()> {
    let (read, write) = stream.split();
    let (mut input, mut output) = (BufReader::new(read), BufWriter::new(write));
    let mut line = String::new();
    while input.read_line(&mut line).await? > 0 {
        output.write_all(line.as_bytes()).await?;
        line.clear();
        if input.buffer().is_empty() {
            output.flush().await?;
        }
    }
    Ok(())
}

async fn frames(mut stream: TcpStream) -> Result<()> {
    let (read, write) = stream.split();
    let (mut input, mut output) = (BufReader::new(read), BufWriter::new(write));
    loop {
        let length = input.read_u32().await?;
        let mut frame = vec![0; length as usize];
        input.read_exact(&mut frame).await?;
        output.write_u32(length).await?;
        output.write_all(&frame).await?;
        if input.buffer().is_empty() {
            output.flush().await?;
        }
    }
}

async fn greeting(mut stream: TcpStream) -> Result<()> {
    stream.write_all(b"welcome!").await?;
    let mut buffer = vec![0; 1024];
    loop {
        let count = stream.read(&mut buffer).await?;
        let name = String::from_utf8_lossy(&buffer[..count]);
        if count == 0 || name == "exit" {
            return Ok(());
        }
        stream.write_all(format!("hello, {name}!").as_bytes()).await?;
    }
}

type Subscribers = Arc<Mutex<HashMap<usize, Arc<OwnedWriteHalf>>>>;

async fn broadcast(stream: TcpStream, id: usize, subscribers: Subscribers) -> Result<()> {
    let (mut input, mut output) = stream.into_split();
    output.write_all(b"welcome!").await?;
    subscribers.lock().unwrap().insert(id, Arc::new(output));
    let mut buffer = vec![0; 1024];
    loop {
        let count = input.read(&mut buffer).await?;
        if count == 0 {
            subscribers.lock().unwrap().remove(&id);
            return Ok(());
        }
        let receivers: Vec<_> = subscribers.lock().unwrap().values().cloned().collect();
        for receiver in receivers {
            // A hundred bytes fit, unless the subscriber has stopped reading.
            let _ = receiver.try_write(&buffer[..count]);
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let listener = TcpListener::bind(format!("127.0.0.1:{}", arguments[2])).await?;
    let subscribers = Subscribers::default();
    for id in 0.. {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = arguments[1].clone();
        let subscribers = subscribers.clone();
        tokio::spawn(async move {
            match service.as_str() {
                "echo" => echo(stream).await,
                "lines" => lines(stream).await,
                "frames" => frames(stream).await,
                "greeting" => greeting(stream).await,
                _ => broadcast(stream, id, subscribers).await,
            }
        });
    }
    Ok(())
}
