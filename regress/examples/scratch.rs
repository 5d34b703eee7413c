use trickle_regress::Cluster;
fn main() {
    let cluster = Cluster::builder().purpose("scratch").start();
    cluster.session().run("CREATE EXTENSION pg_trickle");
    println!("{}", cluster.folder().display());
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).ok();
}
