//! Row-level security of the sources (HAZARDS H36): a stream table shows what its owner may see, whatever about that is
//! changed, and is maintained incrementally only where no policy applies to its owner.

use trickle_regress::session::wait_until;
use trickle_regress::{Cluster, Session};

const QUERY: &str = "SELECT id, o FROM t";

/// A table with a policy by which `al`, who is not its owner, sees the rows of 'a'.
fn start() -> (Cluster, Session) {
    let cluster = Cluster::with_extension();
    let mut session = cluster.session();
    session.run("CREATE ROLE al; CREATE ROLE team; GRANT USAGE, CREATE ON SCHEMA public TO al");
    session.run("CREATE TABLE t (id int PRIMARY KEY, o text)");
    session.run("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'al'), (4, 'c')");
    session.run("GRANT SELECT, TRIGGER ON t TO al");
    session.run("CREATE POLICY p ON t USING (o = 'a')");
    (cluster, session)
}

fn create(session: &mut Session, query: &str) {
    session.run("SET ROLE al");
    session.run(&format!("SELECT pgtrickle.create_stream_table('st', $query${query}$query$, schedule => '1 ms')"));
    session.run("RESET ROLE");
    session.rows("SELECT pgtrickle.refresh_stream_table('st')");
}

fn content(session: &mut Session, query: &str) -> String {
    session.value(&format!("SELECT coalesce(string_agg(q::text, ' ' ORDER BY q::text), 'nothing') FROM ({query}) q"))
}

/// What the owner sees through the query, now.
fn owner_sees(session: &mut Session, query: &str) -> String {
    session.run("SET ROLE al");
    let seen = content(session, query);
    session.run("RESET ROLE");
    seen
}

/// After `change`, and without a refresh that is asked for, the content becomes what the owner sees; which is `expected`.
fn after(session: &mut Session, change: &str, query: &str, expected: &str, mode: &str) {
    session.run(change);
    wait_until(&format!("the stream table shows what its owner sees after {change}"), || {
        content(session, "SELECT * FROM st") == expected
    });
    session.rows("SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(content(session, "SELECT * FROM st"), expected, "after {change}");
    assert_eq!(owner_sees(session, query), expected, "after {change}");
    let now = "SELECT effective_mode FROM pgtrickle.stream_table_status() WHERE name = 'public.st'";
    assert_eq!(session.value(now), mode, "after {change}");
    assert_eq!(session.value("SELECT count(*) FROM pgtrickle.verify('st')"), "0", "after {change}");
}

#[test]
fn h36_what_the_owner_may_see_of_a_table_changes() {
    let (_cluster, mut session) = start();
    create(&mut session, QUERY);
    let all = "(1,a) (2,b) (3,al) (4,c)";
    let mut after = |change: &str, expected: &str, mode: &str| after(&mut session, change, QUERY, expected, mode);
    after("SELECT", all, "differential");
    after("ALTER TABLE t ENABLE ROW LEVEL SECURITY", "(1,a)", "full");
    after("INSERT INTO t VALUES (5, 'a'), (6, 'b')", "(1,a) (5,a)", "full");
    after("DELETE FROM t WHERE id > 4", "(1,a)", "full");
    after("ALTER POLICY p ON t USING (o = 'b')", "(2,b)", "full");
    after("CREATE POLICY more ON t USING (o = current_user)", "(2,b) (3,al)", "full");
    after("CREATE POLICY of_team ON t TO team USING (o = 'c')", "(2,b) (3,al)", "full");
    after("GRANT team TO al; INSERT INTO t VALUES (7, 'x')", "(2,b) (3,al) (4,c)", "full");
    after("DELETE FROM t WHERE id = 7", "(2,b) (3,al) (4,c)", "full");
    after("DROP POLICY p ON t", "(3,al) (4,c)", "full");
    after("CREATE POLICY less ON t AS RESTRICTIVE USING (id < 4)", "(3,al)", "full");
    after("ALTER ROLE al BYPASSRLS", all, "differential");
    after("ALTER ROLE al NOBYPASSRLS", "(3,al)", "full");
    after("ALTER ROLE al SUPERUSER", all, "differential");
    after("ALTER ROLE al NOSUPERUSER", "(3,al)", "full");
    after("ALTER TABLE t OWNER TO al", all, "differential");
    after("ALTER TABLE t FORCE ROW LEVEL SECURITY", "(3,al)", "full");
    after("ALTER TABLE t NO FORCE ROW LEVEL SECURITY", all, "differential");
    after("INSERT INTO t VALUES (8, 'z')", &format!("{all} (8,z)"), "differential");
    after("ALTER TABLE t FORCE ROW LEVEL SECURITY; DROP POLICY less ON t; DROP POLICY more ON t", "(4,c)", "full");
    after("DROP POLICY of_team ON t", "nothing", "full");
    after("ALTER TABLE t DISABLE ROW LEVEL SECURITY", &format!("{all} (8,z)"), "differential");
}

/// A policy may ask another table, and a view may ask as its caller.
#[test]
fn h36_policies_that_read_and_views_that_ask_as_their_caller() {
    let (_cluster, mut session) = start();
    session.run("CREATE TABLE may (who text, o text); INSERT INTO may VALUES ('al', 'b'), ('bo', 'c')");
    session.run("GRANT SELECT ON may TO al");
    session.run("ALTER POLICY p ON t USING (o IN (SELECT m.o FROM may m WHERE m.who = current_user))");
    session.run("ALTER TABLE t ENABLE ROW LEVEL SECURITY");
    session.run("CREATE VIEW v WITH (security_invoker) AS SELECT id, o FROM t; GRANT SELECT ON v TO al");
    let query = "SELECT o, count(*) AS n FROM v GROUP BY o";
    create(&mut session, query);
    let mut after = |change: &str, expected: &str| after(&mut session, change, query, expected, "full");
    after("SELECT", "(b,1)");
    after("INSERT INTO may VALUES ('al', 'c')", "(b,1) (c,1)");
    after("DELETE FROM may WHERE o = 'b'", "(c,1)");
    after("INSERT INTO t VALUES (5, 'c')", "(c,2)");
    // As its owner the view sees everything, and its own owner may pass it on.
    session.run("ALTER VIEW v RESET (security_invoker)");
    wait_until("the view shows everything", || content(&mut session, "SELECT * FROM st") == "(a,1) (al,1) (b,1) (c,2)");
    session.run("ALTER VIEW v SET (security_invoker)");
    wait_until("the view shows what its caller sees", || content(&mut session, "SELECT * FROM st") == "(c,2)");
    session.run("REVOKE SELECT ON t FROM al");
    let error = session.error("SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(error.sqlstate, "42501", "{error:?}");
}

/// A policy that reads its own table is an error whenever somebody reads it. That is of this table alone.
#[test]
fn h36_a_policy_that_cannot_be_applied() {
    let (_cluster, mut session) = start();
    session.run("SELECT pgtrickle.create_stream_table('other', 'SELECT count(*) AS n FROM t', schedule => '1 ms')");
    create(&mut session, QUERY);
    session.run("ALTER POLICY p ON t USING (EXISTS (SELECT FROM t u WHERE u.id = t.id))");
    session.run("ALTER TABLE t ENABLE ROW LEVEL SECURITY");
    let error = session.error("SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(error.sqlstate, "42P17", "{error:?}");
    session.run("INSERT INTO t VALUES (5, 'a')");
    session.run("SELECT pgtrickle.refresh_stream_table('other')");
    assert_eq!(session.value("SELECT n FROM other"), "5");
    assert_eq!(session.value("SELECT count(*) FROM st"), "4");
    after(&mut session, "ALTER POLICY p ON t USING (o = 'a')", QUERY, "(1,a) (5,a)", "full");
}

/// The rows of a policy that looks at the session would be those of whoever refreshes: there is no such session.
#[test]
fn h36_policies_that_look_at_the_session_are_refused() {
    let (_cluster, mut session) = start();
    session.run("ALTER TABLE t ENABLE ROW LEVEL SECURITY");
    session
        .run("CREATE FUNCTION mine(text) RETURNS bool STABLE LANGUAGE sql RETURN current_setting('app.o', true) = $1");
    let refused: [(&str, &str); 4] = [
        ("o = current_setting('app.o', true)", "Function current_setting(text,boolean) in a row-level security policy"),
        ("mine(o)", "Function public.mine(text) in a row-level security policy"),
        ("o = session_user", "SESSION_USER in a row-level security policy of public.t depends on the session."),
        ("now() > '2000-01-01'", "now() in a row-level security policy of public.t changes with time."),
    ];
    for mode in ["auto", "full"] {
        for (policy, detail) in &refused {
            session.run(&format!("ALTER POLICY p ON t USING ({policy})"));
            session.run("SET ROLE al");
            let error = session
                .error(&format!("SELECT pgtrickle.create_stream_table('st', '{QUERY}', refresh_mode => '{mode}')"));
            session.run("RESET ROLE");
            assert_eq!(error.sqlstate, "0A000", "{policy}: {error:?}");
            assert!(error.detail.as_deref().is_some_and(|said| said.contains(detail)), "{policy}: {error:?}");
        }
    }
    // Whom it does not apply to does not mind; and it may become so later.
    session.run("SELECT pgtrickle.create_stream_table('theirs', 'SELECT id FROM t', refresh_mode => 'differential')");
    session.run("SELECT pgtrickle.drop_stream_table('theirs')");
    session.run(
        "ALTER POLICY p ON t USING (o = 'a' AND pg_has_role(current_user, 'al', 'member') AND to_char(id, '9') <> '')",
    );
    create(&mut session, QUERY);
    assert_eq!(content(&mut session, "SELECT * FROM st"), "(1,a)");
    session.run("ALTER POLICY p ON t USING (mine(o))");
    let error = session.error("SELECT pgtrickle.refresh_stream_table('st')");
    assert_eq!(error.sqlstate, "0A000", "{error:?}");
    session.run("ALTER POLICY p ON t USING (o = 'b')");
    after(&mut session, "SELECT", QUERY, "(2,b)", "full");
}

/// Policies on a stream table hold for the owners of those that read it, and never for what the worker writes.
#[test]
fn h36_h43_policies_on_a_stream_table() {
    let (_cluster, mut session) = start();
    session.run(&format!("SELECT pgtrickle.create_stream_table('base', '{QUERY}', schedule => '1 ms')"));
    session.run("GRANT SELECT ON base TO al");
    session.run("SELECT pgtrickle.refresh_stream_table('base')");
    let query = "SELECT id, o FROM base";
    create(&mut session, query);
    let all = "(1,a) (2,b) (3,al) (4,c)";
    let mut after = |change: &str, expected: &str, mode: &str| after(&mut session, change, query, expected, mode);
    after("SELECT", all, "differential");
    after("ALTER TABLE base ENABLE ROW LEVEL SECURITY; CREATE POLICY b ON base USING (o = 'b')", "(2,b)", "full");
    after("INSERT INTO t VALUES (5, 'b'), (6, 'x')", "(2,b) (5,b)", "full");
    after("ALTER TABLE base FORCE ROW LEVEL SECURITY; UPDATE t SET o = 'b' WHERE id = 1", "(1,b) (2,b) (5,b)", "full");
    after(
        "ALTER TABLE base DISABLE ROW LEVEL SECURITY; DELETE FROM t WHERE id > 4",
        "(1,b) (2,b) (3,al) (4,c)",
        "differential",
    );
    let base = "SELECT count(*) FROM pgtrickle.verify('base')";
    assert_eq!(session.value(base), "0");
}
