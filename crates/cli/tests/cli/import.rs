//! `import`: data on stdout, what could not be carried over on stderr.

use crate::world::World;

const LINES: &str = "d /srv/app/tmp - - - 1d\nd %t/app - - - 1d\n";

#[test]
fn import_prints_a_configuration_and_says_what_it_lacks() {
    let world = World::new();
    world.write("app.conf", LINES);
    let ran = world.run("import app.conf");
    insta::assert_snapshot!("import", ran);
    world.write("cleanup.toml", ran.exits(0));
    let shown = world.run("config show").is_fine().to_owned();
    assert!(shown.contains("\"/srv/app/tmp\"") && shown.contains("\"observe\""), "{shown}");
}

#[test]
fn programs_get_the_same_in_one_document() {
    let world = World::new();
    world.write("app.conf", LINES);
    let (text, json) = (world.run("import app.conf"), world.run("import --json app.conf").json());
    assert_eq!(json["config"], text.exits(0));
    assert_eq!(json["policies"][0]["name"], "srv-app-tmp");
    assert_eq!(json["notes"][0]["line"], 2);
}

#[test]
fn nothing_to_carry_over_and_a_file_that_cannot_be_read_exit_1() {
    let world = World::new();
    world.write("empty.conf", "");
    world.write("app.conf", LINES);
    for line in ["import empty.conf", "import app.conf no-such.conf"] {
        let ran = world.run(line);
        assert_eq!(ran.exits(1), "", "{line}");
        assert!(ran.err.contains("error: "), "{line}: {ran}");
    }
    assert_eq!(world.run("import --json empty.conf").exits(1).lines().next(), Some("{"));
    world.run("import").exits(2);
}

#[test]
fn a_file_without_an_end_is_not_read_to_it() {
    let ran = World::new().run("import /dev/zero");
    assert_eq!(ran.exits(1), "");
    assert!(ran.err.contains("/dev/zero") && ran.err.contains("larger than a megabyte"), "{ran}");
}
