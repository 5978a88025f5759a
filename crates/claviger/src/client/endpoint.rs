//! Where a server is: `https://kms.example.org`, `http://127.0.0.1:9911`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;

/// A server's address, with a host and no path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    tls: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: Option<u16>,
}

impl Endpoint {
    /// Whether TLS is spoken there.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// The name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port: 443 or 80 when none was given.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// The `Host` header.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match self.port {
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    }

    /// Whether secrets on the way there can be read by others: plain HTTP to another machine.
    pub fn is_exposed(&self) -> bool {
        let loopback = self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        !self.tls && !loopback
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("`{text}` is not a server's address such as https://kms.example.org or http://127.0.0.1:9911");
        let uri: Uri = text.parse().map_err(|_| invalid())?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(invalid()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(invalid)?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || uri.authority().is_some_and(|a| a.as_str().contains('@')) {
            return Err(invalid());
        }
        // What stands behind the host is a port, or the authority is no longer than the host.
        let port = uri.port_u16();
        if port.is_none() && uri.authority().is_some_and(|authority| authority.as_str() != host) {
            return Err(invalid());
        }
        Ok(Self { tls, host: host.trim_matches(['[', ']']).to_owned(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for (text, host, port) in [
            ("https://kms.example.org", "kms.example.org", 443),
            ("http://127.0.0.1:9911", "127.0.0.1", 9911),
            ("http://[::1]:8080", "::1", 8080),
            ("http://localhost", "localhost", 80),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.host(), endpoint.port(), endpoint.to_string().as_str()), (host, port, text));
        }
        assert_eq!("https://a:1/".parse::<Endpoint>().unwrap().to_string(), "https://a:1");
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in
            ["", "kms.example.org", "ftp://x", "http://", "http://x/path", "http://u:p@x", "http://x?y", "https://x:99999"]
        {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_plain_http_to_other_machines_is_exposed() {
        for (text, exposed) in [
            ("http://kms.internal", true),
            ("http://10.0.0.1:9911", true),
            ("https://kms.internal", false),
            ("http://127.0.0.1:9911", false),
            ("http://[::1]:9911", false),
            ("http://localhost:9911", false),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().is_exposed(), exposed, "{text}");
        }
    }
}
