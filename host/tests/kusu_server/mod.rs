//! Apache with a CGI on loopback, as far as a node sees it: HTTP/1.1, one answer a connection, and the requests are kept.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What a request gets.
pub struct Answer {
    status: u16,
    body: String,
    /// How much of the body is sent.
    sent: usize,
}

impl Answer {
    /// Kusu's CGI says text/html, whatever it is, and status 200, whatever happened.
    pub fn page(body: &str) -> Self {
        Self { status: 200, body: body.into(), sent: body.len() }
    }

    /// A connection that is lost half-way.
    pub fn cut(body: &str) -> Self {
        Self { status: 200, body: body.into(), sent: body.len() / 2 }
    }

    /// Apache's own page.
    pub fn status(status: u16) -> Self {
        let body = format!("<html><h1>{status}</h1></html>");
        Self { status, sent: body.len(), body }
    }
}

/// The server; it ends with the test's process.
pub struct Server {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn new(answer: impl Fn(&str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &answer, &kept);
            }
        });
        Self { url, requests }
    }

    /// Paths with their parameters, in order.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A client that goes away ends its own connection only.
fn serve(mut stream: TcpStream, answer: &impl Fn(&str) -> Answer, kept: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    let path = first.strip_prefix("GET ")?.split(' ').next()?;
    kept.lock().unwrap().push(path.to_owned());
    let Answer { status, body, sent } = answer(path);
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&body.as_bytes()[..sent]).ok()
}
