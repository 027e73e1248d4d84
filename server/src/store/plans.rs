//! How each database finds what each statement asks for, in tables as large as a busy server's.
//! In: every statement, and 100,000 messages with what belongs to them. Out: a failure for each
//! plan that reads a whole table.

use super::*;

/// The statements of all tables, by the file they stand in.
const STATEMENTS: [(&str, &[&str], &str); 7] = [
    ("accounts", accounts::STATEMENTS, include_str!("accounts.rs")),
    ("direct", direct::STATEMENTS, include_str!("direct.rs")),
    ("messages", messages::STATEMENTS, include_str!("messages.rs")),
    ("notifications", notifications::STATEMENTS, include_str!("notifications.rs")),
    ("rooms", rooms::STATEMENTS, include_str!("rooms.rs")),
    ("tokens", tokens::STATEMENTS, include_str!("tokens.rs")),
    ("uploads", uploads::STATEMENTS, include_str!("uploads.rs")),
];

/// A count of all rows reads them all. There are no more rooms than the server's limit.
const COUNTS: &str = "SELECT COUNT(*) FROM rooms";

/// Results of subqueries, none longer than a page.
const PAGES: [&str; 8] = ["said", "noted", "missed", "open", "closed", "seen", "came", "went"];

fn statements() -> impl Iterator<Item = &'static str> {
    STATEMENTS.into_iter().flat_map(|(_, all, _)| all).copied().filter(|sql| *sql != COUNTS)
}

/// The values of a series from 1, one row each, in either database.
fn fill(series: &str) -> String {
    let rows = |table: &str, count: u32, values: &str| {
        let series = series.replace('#', &count.to_string());
        format!("INSERT INTO {table} SELECT {values} FROM {series};\n")
    };
    [
        rows("users", 2_000, "n, 'user' || n, 'user' || n, '', 0, 0, 0"),
        rows(
            "rooms",
            1_000,
            "n, 'room' || n, '', CASE WHEN n % 9 = 0 THEN 0 ELSE 1 END, 0, 0, 0, 0",
        ),
        rows("memberships", 20_000, "n % 1000 + 1, n / 10 % 2000 + 1, 'member', 0"),
        rows(
            "messages",
            100_000,
            "n % 1000 + 1, n / 1000 + 1, n % 2000 + 1, NULL, NULL, 'k' || n, 'some words', n",
        ),
        rows("room_events", 20_000, "n % 1000 + 1, n / 1000 + 1000, 'kind', '{}', n"),
        rows(
            "direct_messages",
            20_000,
            "n, n % 1000 + 1, n % 1000 + 1001, n % 1000 + 1, n % 1000 + 1001, 'k' || n, 'x', n",
        ),
        rows(
            "notifications",
            50_000,
            "n, n % 2000 + 1, CASE WHEN n % 5 = 0 THEN 'mention' ELSE 'room' END, 1, '{}', n, \
            CASE WHEN n % 3 = 0 THEN NULL ELSE n END",
        ),
        rows("refresh_tokens", 10_000, "'h' || n, 'f' || (n / 5), n % 2000 + 1, n, n, NULL, NULL"),
        rows(
            "uploads",
            10_000,
            "n, 'h' || n, n % 2000 + 1, 'x', 'y', 1, n, NULL, NULL, \
            CASE WHEN n % 1000 = 0 THEN 'waiting' ELSE 'made' END, 0, n",
        ),
        rows("upload_rooms", 10_000, "n, n % 1000 + 1"),
        rows("upload_users", 10_000, "n, n % 2000 + 1"),
    ]
    .concat()
}

#[test]
fn every_statement_is_in_the_list() {
    for (file, all, text) in STATEMENTS {
        let lines = text.lines().filter(|line| line.starts_with("const "));
        let count = lines.filter(|line| line.contains(": &str =")).count();
        assert_eq!(all.len(), count, "{file}");
    }
}

/// SQLite numbers parameters by their first mention, PostgreSQL by their number.
#[test]
fn parameters_are_first_mentioned_in_order() {
    for sql in STATEMENTS.into_iter().flat_map(|(_, all, _)| all) {
        let mut most = 0;
        for part in sql.split('$').skip(1) {
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            let number: u32 = part[..end].parse().unwrap();
            assert!(number <= most + 1, "${number} in {sql}");
            most = most.max(number);
        }
    }
}

#[test]
fn sqlite_reads_no_table_whole() {
    let mut connection = rusqlite::Connection::open_in_memory().unwrap();
    schema::migrate_sqlite(&mut connection).unwrap();
    let series = "(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < #) \
        SELECT n FROM s)";
    connection.execute_batch(&format!("BEGIN; {} COMMIT; ANALYZE;", fill(series))).unwrap();
    for sql in statements() {
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps: Vec<String> =
            plan.raw_query().mapped(|row| row.get(3)).collect::<Result<_, _>>().unwrap();
        let whole = steps.iter().find(|step| {
            let table = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
            table.is_some_and(|table| !PAGES.contains(&table) && table != "CONSTANT")
        });
        assert_eq!(whole, None, "{sql}\n{steps:#?}");
    }
}

#[tokio::test]
async fn postgres_reads_no_table_whole() {
    let cluster = cluster::Postgres::start();
    let url = cluster.url("postgres");
    let caps = Caps { history: 1, accounts: 1, direct: 1 };
    Store::open(&Database::Postgres(url.clone()), caps).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&fill("generate_series(1, #) AS n")).await.unwrap();
    // The plan that it keeps for a statement that is run often, whatever its parameters.
    client.batch_execute("ANALYZE; SET plan_cache_mode = force_generic_plan").await.unwrap();
    for sql in statements() {
        let count = client.prepare(sql).await.unwrap().params().len();
        let values = vec!["'1'"; count].join(", ");
        let run = format!("PREPARE it AS {sql}; EXPLAIN EXECUTE it({values}); DEALLOCATE it");
        let plan: Vec<String> = client
            .simple_query(&run)
            .await
            .unwrap()
            .iter()
            .filter_map(|row| {
                let tokio_postgres::SimpleQueryMessage::Row(row) = row else { return None };
                row.get(0).map(str::to_owned)
            })
            .collect();
        assert!(plan.len() > 1 || sql.starts_with("INSERT"), "{sql}: {plan:?}");
        assert!(!plan.iter().any(|step| step.contains("Seq Scan")), "{sql}\n{plan:#?}");
    }
}
