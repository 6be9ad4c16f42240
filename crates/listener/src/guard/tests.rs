use proptest::prelude::*;

use super::*;

const CHROMIUM: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";

/// Headers that programs other than browsers send with a form, besides its content type.
const PROGRAMS: [&[(&str, &str)]; 6] = [
    &[("user-agent", "curl/8.14.1"), ("accept", "*/*")],
    &[("user-agent", "PostmanRuntime/7.43.0"), ("accept-encoding", "gzip, deflate, br")],
    &[("user-agent", "python-requests/2.32.3"), ("accept-encoding", "gzip, deflate")],
    &[("user-agent", "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.1")],
    &[("user-agent", "node"), ("accept-language", "*"), ("sec-fetch-mode", "cors")],
    &[],
];

const FORMS: [&str; 3] =
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"];

fn guard(listen: &str, allowed: &[&str]) -> Guard {
    let allowed: Vec<Host> = allowed.iter().map(|host| host.parse().unwrap()).collect();
    Guard::new(listen.parse().unwrap(), &allowed)
}

fn request(method: Method, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri("/uploadcsv");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn host(guard: &Guard, host: &str) -> Result<Sender, Refusal> {
    guard.check(&request(Method::GET, &[("host", host)]), true)
}

/// Sends a change to 127.0.0.1:8000 with these headers, without a key.
fn change(guard: &Guard, headers: &[(&str, &str)]) -> Result<Sender, Refusal> {
    guard.check(&request(Method::POST, &[&[("host", "127.0.0.1:8000")], headers].concat()), false)
}

#[test]
fn loopback_and_the_address_of_the_listener_are_accepted() {
    let ours = guard("127.0.0.1", &[]);
    let names = [
        "localhost",
        "LOCALHOST:8081",
        "rounds.localhost:8000",
        "127.0.0.1",
        "127.8.9.1:80",
        "[::1]",
        "[::1]:1",
    ];
    for name in names.into_iter().chain(["[::ffff:127.0.0.1]:8000", "localhost:"]) {
        assert_eq!(host(&ours, name), Ok(Sender::Trusted), "{name}");
    }
    assert_eq!(host(&guard("192.168.1.5", &[]), "192.168.1.5:8000"), Ok(Sender::Trusted));
    assert_eq!(host(&guard("0.0.0.0", &[]), "192.168.1.5:8000"), Ok(Sender::Trusted));
    assert_eq!(host(&guard("::", &[]), "[2001:db8::7]:8000"), Ok(Sender::Trusted));
}

#[test]
fn other_names_are_refused_even_with_a_key() {
    for listen in ["127.0.0.1", "0.0.0.0"] {
        let names = ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example"];
        for name in
            names.into_iter().chain(["notlocalhost", "localhost.", "127.1", "0x7f000001", "010.0.0.1"])
        {
            let refused = host(&guard(listen, &[]), name).unwrap_err();
            assert_eq!(refused.status(), StatusCode::MISDIRECTED_REQUEST, "{name}");
            assert!(refused.to_string().contains("--allowed-host"), "{refused}");
        }
    }
    for name in ["192.168.1.6:8000", "0.0.0.0:8000", "[2001:db8::7]"] {
        assert_eq!(
            host(&guard("192.168.1.5", &[]), name).unwrap_err().status(),
            StatusCode::MISDIRECTED_REQUEST
        );
    }
    for name in [
        "",
        "a b",
        "[::1",
        "::1",
        "localhost:80:80",
        "localhost:x",
        "localhost:99999",
        "user@localhost",
        "[127.0.0.1]",
    ] {
        assert_eq!(host(&guard("0.0.0.0", &[]), name), Err(Refusal::NoHost), "{name}");
    }
}

#[test]
fn a_name_is_allowed_with_one_port_or_with_all_ports() {
    let named = guard("10.0.0.1", &["Rounds.Example", "other.example:8443", "10.0.0.2"]);
    for name in ["rounds.example", "ROUNDS.example:8000", "other.example:8443", "10.0.0.2:1"] {
        assert_eq!(host(&named, name), Ok(Sender::Trusted), "{name}");
    }
    for name in ["x.rounds.example", "other.example", "other.example:80", "10.0.0.3"] {
        assert!(matches!(host(&named, name), Err(Refusal::Host(_))), "{name}");
    }
    for wrong in ["", "*.example", "http://rounds.example", "rounds.example/x", "a b"] {
        assert!(wrong.parse::<Host>().is_err(), "{wrong}");
    }
    for shown in ["rounds.example:80", "[::1]:80", "10.0.0.1"] {
        assert_eq!(shown.parse::<Host>().unwrap().to_string(), shown);
    }
    assert_eq!("::1".parse::<Host>().unwrap().to_string(), "[::1]");
}

#[test]
fn only_http_1_0_may_omit_the_host() {
    let ours = guard("127.0.0.1", &[]);
    let mut nameless = request(Method::GET, &[]);
    assert_eq!(ours.check(&nameless, false), Err(Refusal::NoHost));
    *nameless.version_mut() = Version::HTTP_10;
    assert_eq!(ours.check(&nameless, false), Ok(Sender::Trusted));
    let two = [("host", "localhost"), ("host", "evil.example")];
    assert_eq!(ours.check(&request(Method::GET, &two), true), Err(Refusal::NoHost));
    let mut proxied = request(Method::GET, &[("host", "localhost")]);
    *proxied.uri_mut() = "http://evil.example/uploads".parse().unwrap();
    assert!(matches!(ours.check(&proxied, true), Err(Refusal::Host(_))));
}

#[test]
fn a_form_of_a_program_is_accepted() {
    let ours = guard("127.0.0.1", &[]);
    for program in PROGRAMS {
        for form in FORMS {
            let headers = [program, &[("content-type", form)]].concat();
            assert_eq!(change(&ours, &headers), Ok(Sender::Trusted), "{headers:?}");
        }
    }
}

#[test]
fn a_browser_that_names_no_page_cannot_change_anything() {
    let ours = guard("127.0.0.1", &[]);
    let old = [
        ("user-agent", "Mozilla/5.0 (X11; rv:60.0) Gecko/20100101 Firefox/60.0"),
        ("accept-language", "en-US"),
    ];
    assert_eq!(change(&ours, &old), Err(Refusal::Page));
    let reading = request(Method::GET, &[&[("host", "localhost")], old.as_slice()].concat());
    assert_eq!(ours.check(&reading, false), Ok(Sender::Page(None)));
    let of_page = |referer| change(&ours, &[old.as_slice(), &[("referer", referer)]].concat());
    assert_eq!(of_page("http://127.0.0.1:8000/docs"), Ok(Sender::Trusted));
    for foreign in
        ["http://evil.example/", "http://127.0.0.1:9000/", "file:///x", "http://127.0.0.1:8000@evil.example/"]
    {
        assert_eq!(of_page(foreign), Err(Refusal::Page), "{foreign}");
    }
}

#[test]
fn a_page_of_this_server_is_trusted() {
    let ours = guard("127.0.0.1", &[]);
    for headers in [
        [("origin", "http://127.0.0.1:8000"), ("sec-fetch-site", "same-origin")].as_slice(),
        &[("origin", "http://127.0.0.1:8000")],
        &[("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none")],
    ] {
        assert_eq!(
            change(&ours, &[&[("user-agent", CHROMIUM), ("accept-language", "en")], headers].concat()),
            Ok(Sender::Trusted)
        );
    }
    // Behind a proxy that speaks TLS, whether it forwards the name or not.
    let named = guard("127.0.0.1", &["rounds.example", "other.example:8443"]);
    let of = |host, origin| {
        named.check(
            &request(Method::POST, &[("host", host), ("origin", origin), ("sec-fetch-site", "same-origin")]),
            false,
        )
    };
    for host in ["rounds.example", "127.0.0.1:8000"] {
        assert_eq!(of(host, "https://rounds.example"), Ok(Sender::Trusted), "{host}");
        assert_eq!(of(host, "https://other.example:8443"), Ok(Sender::Trusted), "{host}");
        for foreign in ["https://rounds.example:8443", "https://other.example", "https://x.rounds.example"] {
            assert_eq!(of(host, foreign), Err(Refusal::Page), "{host} {foreign}");
        }
    }
    assert_eq!(of("rounds.example:9000", "http://rounds.example:9000"), Ok(Sender::Trusted));
}

#[test]
fn a_page_of_another_origin_cannot_change_anything_without_a_key() {
    let ours = guard("127.0.0.1", &[]);
    for headers in [
        [("origin", "http://evil.example")].as_slice(),
        &[("origin", "null")],
        &[("origin", "")],
        &[("origin", "http://127.0.0.1:9000"), ("sec-fetch-site", "same-site")],
        &[("origin", "http://localhost:8000"), ("sec-fetch-site", "cross-site")],
        &[("origin", "https://127.0.0.1:8000")],
        &[("origin", "http://127.0.0.1:8000"), ("origin", "http://evil.example")],
        &[("origin", "http://127.0.0.1:8000"), ("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "something new")],
        &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        &[("referer", "http://evil.example/page")],
    ] {
        assert_eq!(change(&ours, headers), Err(Refusal::Page), "{headers:?}");
        let host = [("host", "127.0.0.1:8000")];
        for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::from_bytes(b"OTHER").unwrap()] {
            assert_eq!(ours.check(&request(method, &[&host, headers].concat()), false), Err(Refusal::Page));
        }
        let with_key = ours.check(&request(Method::POST, &[&host, headers].concat()), true);
        assert_eq!(with_key, Ok(Sender::Trusted), "{headers:?}");
        let reading = request(Method::GET, &[&host, headers].concat());
        assert_eq!(ours.check(&reading, false), Ok(Sender::Page(None)), "{headers:?}");
        let reads_only = guard("127.0.0.1", &[]).reads_only_from(&[]);
        assert_eq!(reads_only.check(&reading, false), Err(Refusal::Page), "{headers:?}");
    }
}

#[test]
fn a_page_of_an_allowed_origin_is_recognized() {
    let origins =
        ["http://localhost:8088/", "https://Tabix.example", ""].map(|text| cors_origin(text).unwrap());
    let ours = guard("127.0.0.1", &[]).reads_only_from(&origins);
    for origin in ["http://localhost:8088", "https://tabix.example", "https://tabix.example:443"] {
        let allowed = Sender::Page(Some(origin.parse().unwrap()));
        assert_eq!(change(&ours, &[("origin", origin), ("sec-fetch-site", "same-site")]), Ok(allowed));
    }
    for origin in
        ["https://localhost:8088", "http://localhost:80880", "http://tabix.example", "http://localhost", "*"]
    {
        assert_eq!(change(&ours, &[("origin", origin)]), Err(Refusal::Page), "{origin}");
    }
    assert_eq!(change(&ours, &[("referer", "http://localhost:8088/page")]), Err(Refusal::Page));
    for wrong in ["*", "localhost:8088", "null", "ftp://tabix.example"] {
        assert!(cors_origin(wrong).is_err(), "{wrong}");
    }
}

fn method() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ])
}

/// Headers that do not identify a page.
fn other_headers() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let names = [
        "user-agent",
        "accept-language",
        "content-type",
        "accept",
        "cookie",
        "sec-fetch-mode",
        "x-forwarded-host",
    ];
    prop::collection::vec((prop::sample::select(names.to_vec()), "[ -~]{0,40}"), 0..6)
}

fn built(method: Method, headers: &[(&str, String)]) -> Request<()> {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    request(method, &headers)
}

proptest! {
    #[test]
    fn no_name_that_someone_may_own_is_accepted(name in "([a-z0-9-]{1,12}\\.){0,3}[a-z]{2,8}", port in proptest::option::of(any::<u16>()), method in method(), others in other_headers()) {
        prop_assume!(name != "localhost" && !name.ends_with(".localhost"));
        let host = port.map_or(name.clone(), |port| format!("{name}:{port}"));
        let headers = [vec![("host", host)], others].concat();
        for listen in ["127.0.0.1", "0.0.0.0", "10.0.0.1"] {
            let refused = guard(listen, &["rounds.example.org"]).check(&built(method.clone(), &headers), true);
            prop_assert!(matches!(refused, Err(Refusal::Host(_))), "{:?}", refused);
        }
    }

    #[test]
    fn a_foreign_page_cannot_change_anything_whatever_else_it_sends(
        origin in "(https?://([a-z]{1,9}\\.)?[a-z]{1,9}(:[0-9]{1,4})?|null|[ -~]{0,20})",
        site in prop::sample::select(vec!["cross-site", "same-site", "same-origin", "none", ""]),
        method in method(),
        others in other_headers(),
    ) {
        prop_assume!(!origin.eq_ignore_ascii_case("http://localhost"));
        let page = [("host", "localhost".to_owned()), ("origin", origin), ("sec-fetch-site", site.to_owned())];
        let answer = guard("127.0.0.1", &[]).check(&built(method.clone(), &[page.to_vec(), others].concat()), false);
        prop_assert_eq!(answer.is_ok(), matches!(method, Method::GET | Method::HEAD | Method::OPTIONS));
    }

    #[test]
    fn a_program_that_names_no_page_is_accepted_whatever_else_it_sends(method in method(), others in other_headers()) {
        let is_browser = others.iter().any(|(name, value)| *name == "user-agent" && value.starts_with("Mozilla/"));
        prop_assume!(!is_browser);
        let headers = [vec![("host", "localhost:8000".to_owned())], others].concat();
        prop_assert_eq!(guard("127.0.0.1", &[]).check(&built(method, &headers), false), Ok(Sender::Trusted));
    }
}
