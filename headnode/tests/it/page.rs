//! The web page: who gets in, and what other pages could do in a visitor's name.

use std::fs;

use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::redirect::Policy;

use crate::admin::{add_key, served};
use crate::head::{Head, plain};
use crate::machine::trusting;

/// A browser without a jar: tests say which cookie it has.
struct Browser<'a> {
    head: &'a Head,
    client: Client,
}

impl<'a> Browser<'a> {
    fn new(head: &'a Head) -> Self {
        let client = trusting(&head.trust().ca_pem).redirect(Policy::none());
        Self { head, client: client.build().unwrap() }
    }

    fn get(&self, path: &str, cookie: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.head.https));
        request.header("cookie", cookie).send().unwrap()
    }

    fn form(&self, path: &str, cookie: &str, body: &str) -> RequestBuilder {
        let request = self.client.post(format!("{}{path}", self.head.https)).header("cookie", cookie);
        request.header("content-type", "application/x-www-form-urlencoded").body(body.to_owned())
    }

    /// A form of our own page.
    fn own(&self, path: &str, cookie: &str, body: &str) -> Response {
        self.form(path, cookie, body).header("origin", &self.head.https).send().unwrap()
    }

    /// Logs in; the cookie.
    fn login(&self, secret: &str) -> String {
        let answer = self.own("/login", "", &format!("key={secret}"));
        assert_eq!((answer.status().as_u16(), header(&answer, "location")), (303, "/"));
        let cookie = header(&answer, "set-cookie").to_owned();
        for word in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict", "; Max-Age=28800"] {
            assert!(cookie.contains(word), "{cookie}");
        }
        assert!(cookie.starts_with("__Host-camphor=camphor-") && !cookie.contains(secret), "{cookie}");
        cookie.split(';').next().unwrap().to_owned()
    }

    fn sees_nodes(&self, cookie: &str) -> bool {
        self.get("/", cookie).text().unwrap().contains("<td>n1")
    }
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn secret(head: &Head, name: &str) -> String {
    fs::read_to_string(head.path(&format!("{name}.secret"))).unwrap().trim().to_owned()
}

/// What the page's own form would send.
fn token(page: &str) -> &str {
    page.split("name=token value=").nth(1).unwrap().split('>').next().unwrap()
}

#[test]
fn trust_the_page_needs_a_login() {
    let head = served();
    let browser = Browser::new(&head);
    for cookie in ["", "__Host-camphor=", "__Host-camphor=camphor-x", "x=y; __Host-camphor"] {
        let page = browser.get("/", cookie).text().unwrap();
        assert!(page.contains("action=/login") && !page.contains("<table>"), "{page}");
    }
    let key = secret(&head, "read");
    let answer = browser.own("/login", "", "key=camphor-wrong");
    assert!(answer.status() == 401 && header(&answer, "set-cookie").is_empty(), "{answer:?}");
    let cookie = browser.login(&key);
    assert!(browser.sees_nodes(&cookie));
    assert!(browser.sees_nodes(&format!("a=b; {cookie}; c=d")));
    assert!(!browser.sees_nodes(&format!("__Host-camphor={key}")), "a key is no session");
    let page = browser.get("/", &cookie).text().unwrap();
    let out = browser.own("/logout", &cookie, &format!("token={}", token(&page)));
    assert!(out.status() == 303 && header(&out, "set-cookie").contains("Max-Age=0"), "{out:?}");
    assert!(!browser.sees_nodes(&cookie), "logged out");
    let cookie = browser.login(&key);
    head.ok(&["api-key", "revoke", "read"]);
    assert!(!browser.sees_nodes(&cookie), "its key was revoked");
    let short = browser.login(&add_key(&head, "short", &["--scope", "read", "--expires", "1"]));
    head.sql("UPDATE api_keys SET expires_at = made_at + 1 WHERE name = 'short'");
    assert!(!browser.sees_nodes(&short), "its key has ended");
    for path in ["/", "/login", "/logout", "/style.css"] {
        assert_eq!(
            plain().get(format!("{}{path}", head.http)).send().unwrap().status(),
            404,
            "{path} without TLS"
        );
    }
    assert!(!head.log().contains(&key) && !head.log().contains(&cookie["__Host-camphor=".len()..]));
}

#[test]
fn trust_other_pages_do_nothing_in_a_visitors_name() {
    let head = served();
    let browser = Browser::new(&head);
    let (one, other) = (browser.login(&secret(&head, "admin")), browser.login(&secret(&head, "admin")));
    let page = browser.get("/", &one).text().unwrap();
    let others = browser.get("/", &other).text().unwrap();
    let right = format!("token={}", token(&page));
    for body in ["", "token=", "token=x", &format!("token={}", token(&others)), "token=%00"] {
        assert_eq!(browser.own("/logout", &one, body).status(), 403, "{body}");
    }
    for origin in ["https://evil.example", "null", &head.http, "https://127.0.0.1"] {
        let out = browser.form("/logout", &one, &right).header("origin", origin).send().unwrap();
        assert_eq!(out.status(), 403, "{origin}");
        let key = format!("key={}", secret(&head, "read"));
        let login = browser.form("/login", "", &key).header("origin", origin).send().unwrap();
        assert!(login.status() == 403 && header(&login, "set-cookie").is_empty(), "{origin}");
    }
    assert_eq!(browser.form("/logout", &one, &right).send().unwrap().status(), 403, "no origin");
    assert_eq!(browser.get("/logout", &one).status(), 405);
    let posted = browser.own("/admin/command", &one, "{\"args\": [\"status\"]}");
    assert_eq!(posted.status(), 401, "a cookie commands nothing");
    let large = browser.own("/login", "", &format!("key={}", "x".repeat(10_000)));
    assert_eq!(large.status(), 403);
    assert!(browser.sees_nodes(&one) && browser.sees_nodes(&other));
}

#[test]
fn trust_the_page_is_shut_to_scripts_and_frames() {
    let head = served();
    let browser = Browser::new(&head);
    let cookie = browser.login(&secret(&head, "read"));
    head.sql("UPDATE nodes SET address = NULL");
    head.sql("INSERT INTO strangers (mac, address, first_seen, last_seen) VALUES ('52:54:00:00:00:99', '<script>alert(1)</script>', 1, 1)");
    for (path, cookie) in [("/", ""), ("/", cookie.as_str()), ("/style.css", "")] {
        let answer = browser.get(path, cookie);
        let policy = header(&answer, "content-security-policy");
        for word in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"]
        {
            assert!(policy.contains(word), "{path}: {policy}");
        }
        assert!(!policy.contains("script") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(header(&answer, "x-frame-options"), "DENY");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
        assert_eq!(header(&answer, "cache-control"), "no-store");
        assert_eq!(header(&answer, "referrer-policy"), "same-origin");
        let text = answer.text().unwrap();
        assert!(!text.contains("<script"), "{text}");
    }
    let page = browser.get("/", &cookie).text().unwrap();
    assert!(page.contains("<td>&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
}
