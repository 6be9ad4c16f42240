//! Access by web pages.

use reqwest::{Method, StatusCode};

use super::{ClickHouse, read};

#[tokio::test]
async fn a_foreign_host_name_is_refused() {
    let clickhouse = ClickHouse::start();
    let port = clickhouse.part.address.port();
    for host in ["rebound.example".to_owned(), format!("rebound.example:{port}"), "10.0.0.1".to_owned()] {
        let request = clickhouse.request(Method::POST, &[]).header("Host", &host).body("SELECT 1");
        let reply = read(request).await;
        assert!(reply.exception(497, 421).contains("Host header"), "{}", reply.text());
    }
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), "[::1]:1".to_owned()] {
        let request = clickhouse.request(Method::POST, &[]).header("Host", &host).body("SELECT 1");
        assert_eq!(read(request).await.text(), "1\n", "{host}");
    }
}

#[tokio::test]
async fn pages_of_named_origins_may_read_and_others_may_not() {
    let origins = "http://localhost:8088,https://tabix.example";
    let clickhouse = ClickHouse::start_with(&["--clickhouse-cors-origins", origins]);
    for origin in origins.split(',') {
        let request =
            clickhouse.request(Method::POST, &[("add_http_cors_header", "1")]).header("Origin", origin);
        let reply = read(request.body("SELECT 1")).await;
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, "1\n"));
        assert_eq!(reply.header("access-control-allow-origin"), origin);
        assert_eq!(reply.header("vary"), "Origin");
        assert!(reply.header("access-control-expose-headers").contains("X-ClickHouse-Summary"));

        let preflight = clickhouse
            .request(Method::OPTIONS, &[])
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "authorization,x-clickhouse-user");
        let reply = read(preflight).await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT);
        assert_eq!(reply.header("access-control-allow-origin"), origin);
        assert_eq!(reply.header("access-control-allow-headers"), "authorization,x-clickhouse-user");
        assert!(reply.header("access-control-allow-methods").contains("POST"));
    }
    clickhouse.sql("CREATE TABLE t (a UInt8) ENGINE = Memory").await;
    for parameters in [&[][..], &[("readonly", "0")], &[("readonly", "2")]] {
        let insert = clickhouse.request(Method::POST, parameters).header("Origin", "https://tabix.example");
        read(insert.body("INSERT INTO t VALUES (1)")).await.exception(164, 500);
    }
    for origin in ["http://evil.example", "null", "http://localhost:80881"] {
        for method in [Method::POST, Method::OPTIONS] {
            let request =
                clickhouse.request(method, &[]).header("Origin", origin).body("INSERT INTO t VALUES (1)");
            let reply = read(request).await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{origin}");
            assert_eq!(reply.header("access-control-allow-origin"), "");
        }
    }
    assert_eq!(clickhouse.sql("SELECT count() FROM t").await, "0");
}
