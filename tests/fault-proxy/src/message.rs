//! HTTP/1.1 just far enough to know where a message ends.

use std::io::{self, BufRead, Read as _};

/// A request or an answer, its head as it came.
pub(crate) struct Message {
    /// The first line and the headers, without the empty line that ends them.
    pub(crate) head: Vec<String>,
    /// The body as it came, chunks and all.
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The next one; nothing when the other side has closed. `bodiless`: the answer to a HEAD has none.
    pub(crate) fn read(
        from: &mut impl BufRead,
        bodiless: bool,
        on_head: impl FnOnce(&Self) -> io::Result<()>,
    ) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end_matches(['\r', '\n']) {
                "" => break,
                line => head.push(line.to_owned()),
            }
        }
        let body = Vec::new();
        let mut message = Self { head, body };
        on_head(&message)?;
        if !bodiless && !message.never_has_a_body() {
            message.read_body(from)?;
        }
        Ok(Some(message))
    }

    fn never_has_a_body(&self) -> bool {
        let status = self.status();
        matches!(status, Some(204 | 304)) || status.is_some_and(|status| status < 200)
    }

    /// The status, of an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        let line = self.head.first()?.strip_prefix("HTTP/1.1 ")?;
        line.get(..3)?.parse().ok()
    }

    fn read_body(&mut self, from: &mut impl BufRead) -> io::Result<()> {
        if self
            .header("transfer-encoding")
            .is_some_and(|value| value.contains("chunked"))
        {
            return self.read_chunks(from);
        }
        match self.header("content-length").and_then(|value| value.parse().ok()) {
            Some(length) => {
                self.body.resize(length, 0);
                from.read_exact(&mut self.body)
            }
            // A request without a length has no body; an answer without one ends with its connection.
            None if self.status().is_none() => Ok(()),
            None => from.read_to_end(&mut self.body).map(|_| ()),
        }
    }

    fn read_chunks(&mut self, from: &mut impl BufRead) -> io::Result<()> {
        loop {
            let start = self.body.len();
            from.read_until(b'\n', &mut self.body)?;
            let line = String::from_utf8_lossy(&self.body[start..]).into_owned();
            let size = line.trim_end().split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
            if size == 0 {
                // Trailers, to the empty line.
                while from.read_until(b'\n', &mut self.body)? > 2 {}
                return Ok(());
            }
            let read = from.take(size + 2).read_to_end(&mut self.body)?;
            if (read as u64) < size + 2 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head[1..].iter().find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Takes away the headers whose names, in lower case, are such.
    pub(crate) fn without(&mut self, is: impl Fn(&str) -> bool) {
        let mut first = true;
        self.head.retain(|line| {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            std::mem::take(&mut first) || !is(&name)
        });
    }

    /// Says this length, and that the connection ends here.
    pub(crate) fn say_length(&mut self, length: u64) {
        self.without(|name| ["content-length", "transfer-encoding", "connection"].contains(&name));
        self.head.push(format!("content-length: {length}"));
        self.head.push("connection: close".to_owned());
    }

    /// The head as it goes on the wire.
    pub(crate) fn head_bytes(&self) -> Vec<u8> {
        (self.head.join("\r\n") + "\r\n\r\n").into_bytes()
    }
}
