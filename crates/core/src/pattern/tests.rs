use proptest::prelude::*;

use super::*;

const UUID: &str = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";

fn class(include: &[&str], exclude: &[&str], archives: &[&str], path: &str) -> Option<Class> {
    let (folder, last) = path.rsplit_once('/').unwrap_or(("", path));
    Patterns::new(include, exclude, archives).unwrap().class(Name { folder: folder.as_bytes(), last: last.as_bytes() })
}

#[test]
fn archives_survive_a_pattern_that_also_matches_them() {
    let (include, archives) = (["formal_*-*-*-*-*.svg"], ["formal_*_*-*-*-*-*.svg"]);
    let name = format!("formal_20240101_{UUID}.svg");
    assert_eq!(class(&include, &[], &[], &name), Some(Class::Ordinary), "the trap is real");
    assert_eq!(class(&include, &[], &archives, &name), Some(Class::Archive));
    assert_eq!(class(&include, &[], &archives, &format!("formal_{UUID}.svg")), Some(Class::Ordinary));
}

#[test]
fn placeholders_are_strict() {
    let name = |text: &str| class(&["formal_{uuid}.svg"], &[], &["formal_{timestamp}_{uuid}.svg"], text);
    assert_eq!(name(&format!("formal_{UUID}.svg")), Some(Class::Ordinary));
    assert_eq!(name(&format!("formal_20240101_{UUID}.svg")), Some(Class::Archive));
    assert_eq!(name(&format!("formal_20240101123059123_{UUID}.svg")), Some(Class::Archive));
    assert_eq!(name(&format!("formal_2024_{UUID}.svg")), None);
    assert_eq!(name("formal_a-b-c-d-e.svg"), None);
}

#[test]
fn a_slash_decides_what_a_pattern_is_matched_against() {
    assert_eq!(class(&["*.svg"], &[], &[], "deep/below/a.svg"), Some(Class::Ordinary));
    assert_eq!(class(&["deep/*.svg"], &[], &[], "deep/a.svg"), Some(Class::Ordinary));
    assert_eq!(class(&["deep/*.svg"], &[], &[], "deep/below/a.svg"), None);
    assert_eq!(class(&["deep/**/*.svg"], &[], &[], "deep/below/a.svg"), Some(Class::Ordinary));
}

#[test]
fn excluded_names_are_never_candidates_and_case_counts() {
    assert_eq!(class(&["*"], &["keep*"], &[], "keep.svg"), None);
    assert_eq!(class(&["*"], &["keep*"], &["*.svg"], "keep.svg"), None);
    assert_eq!(class(&["*.svg"], &[], &[], "A.SVG"), None);
}

#[test]
fn names_that_are_not_utf8_are_matched_as_bytes() {
    let patterns = Patterns::new(&["*.svg"], &[], &[]).unwrap();
    assert_eq!(patterns.class(Name { folder: b"", last: b"\xff\xfe\n.svg" }), Some(Class::Ordinary));
}

#[test]
fn what_could_never_match_is_an_error() {
    for (text, error) in [("", PatternError::Empty), ("/tmp/*", PatternError::Absolute), ("../*", PatternError::Dots)] {
        assert_eq!(check(text), Err(error), "{text}");
    }
    assert!(matches!(check("[a"), Err(PatternError::Syntax(_))));
    assert!(matches!(check("{a"), Err(PatternError::Syntax(_))));
}

#[test]
fn an_empty_alternative_is_an_alternative() {
    let matching = |pattern: &str, names: &[&str]| -> Vec<String> {
        names.iter().filter(|name| class(&[pattern], &[], &[], name).is_some()).map(ToString::to_string).collect()
    };
    let both = ["important", "important.bak"];
    assert_eq!(matching("important{,.bak}", &both), both);
    assert_eq!(matching("important{.bak,}", &both), both);
    assert_eq!(matching("*.log{,.gz}", &["a.log", "a.log.gz", "a.log.xz"]), ["a.log", "a.log.gz"]);
    assert_eq!(matching("{,a}b", &["b", "ab", "cb"]), ["b", "ab"]);
    assert_eq!(matching("a{,{,b}c}", &["a", "ac", "abc", "ab"]), ["a", "ac", "abc"]);
    assert_eq!(matching("{,old/}*.log", &["a.log", "old/a.log", "new/a.log"]), ["a.log", "old/a.log"]);
    assert_eq!(matching("{,*-}{uuid}{,.svg}", &[UUID, &format!("a-{UUID}.svg"), "a-"]).len(), 2);
    for name in ["important", "important.bak"] {
        assert_eq!(class(&["*"], &["important{,.bak}"], &[], name), None, "{name}");
        assert_eq!(class(&["*"], &[], &["important{,.bak}"], name), Some(Class::Archive), "{name}");
    }
}

/// What can never match, or nearly surely means something else; with what is said, and the way out.
#[test]
fn what_can_never_match_is_an_error_that_says_the_way_out() {
    let long = format!("*{}*", "x".repeat(256));
    let table: &[(&str, &str, &str)] = &[
        ("", "empty pattern", ""),
        ("/srv/*", "remove the leading `/`", ""),
        ("{/a,b}", "remove the leading `/`", ""),
        ("{,a}/b", "remove the leading `/`", ""),
        ("./a", "never occur below a root", "`logs/*.log`, not `./logs/*.log`"),
        ("a/../b", "never occur below a root", "remove it"),
        ("{a,..}/b", "never occur below a root", "remove it"),
        ("keep//g", "`//` never occurs", "a single `/`"),
        ("**/x//y", "`//` never occurs", "a single `/`"),
        ("file:///tmp/*", "`//` never occurs", "a single `/`"),
        ("keep//", "`//` never occurs", "a single `/`"),
        ("{a,keep/}", "it matches folders", "for all below it"),
        ("x/{,a}", "it matches folders", "for all below it"),
        ("*.tmp ", "ends with a space", "`[ ]`"),
        (" *.tmp", "begins or ends with a space", "`[ ]`"),
        ("*.tmp\n", "a line break", "`[ ]`"),
        ("!a.tmp", "negates nothing", "`[!]a.tmp`"),
        ("![ab].tmp", "negates nothing", "`'\\![ab].tmp'`"),
        ("*.jpg,*.png", "several patterns", "`[\"*.jpg\", \"*.png\"]`; if names really contain `,`, write `[,]`"),
        ("*.jpg, *.png, core.*", "several patterns", "\"core.*\"]"),
        ("*.jpg;*.png", "several patterns", "`[;]`"),
        ("*.jpg|*.png", "several patterns", "`[|]`"),
        ("*.jpg *.png", "several patterns", "`[ ]`"),
        ("\"*.jpg\"", "quotation marks", "put them in brackets"),
        ("'*.jpg'", "quotation marks", "put them in brackets"),
        ("~/tmp/*", "`~` is not expanded", "`[~]`"),
        ("logs\\app.log", "`\\a` means `a` itself", "`/` between folders"),
        ("a\0b", "no name contains a NUL", "remove it"),
        (&long, "longer than 255 bytes", "write `*`"),
        ("{}", "an empty name only", "`*` for every name"),
        ("{,}", "an empty name only", "`*` for every name"),
        ("formal_{UUID}.svg", "not a placeholder", "there are `{uuid}` and `{timestamp}`"),
        ("dump-{date}.sql", "not a placeholder", "for the text itself, write `date`"),
        ("^.*\\.log$", "regular expression", "write `*` for any text"),
        ("*.@(jpg|png)", "extended globs", "`{a,b}`"),
        ("[a", "unclosed character class", "`[[]`"),
        ("*.tmp\\", "dangling", "a backslash itself"),
        ("keep\\/", "`\\/` means `/` itself", "write `/` between folders"),
        ("keep[/]", "never matches `/`", "without brackets"),
        ("keep[/]*", "never matches `/`", "without brackets"),
        ("keep[_/]*", "never matches `/`", "`{/,_}`"),
        ("{a,keep[/]b}", "never matches `/`", "without brackets"),
        ("[.]", "never occur below a root", "remove it"),
        ("a/[.][.]/b", "never occur below a root", "remove it"),
        ("\\./a", "never occur below a root", "remove it"),
        ("log-[[:digit:]]*", "named character classes are not supported", "`[0-9]`"),
        ("[_[:alpha:]]*", "named character classes are not supported", "`[0-9]`"),
    ];
    for (text, why, help) in table {
        let error = check(text).expect_err(text);
        assert!(error.to_string().contains(why), "{text:?}: {error}");
        assert!(error.help().unwrap_or_default().contains(help), "{text:?}: {:?}", error.help());
        for lists in [[vec![*text], vec![], vec![]], [vec!["*"], vec![*text], vec![]], [vec!["*"], vec![], vec![*text]]]
        {
            let [include, exclude, archives] = lists;
            assert!(Patterns::new(&include, &exclude, &archives).is_err(), "{text:?}");
        }
    }
}

#[test]
fn names_that_look_strange_can_be_written_down() {
    for (pattern, name) in [
        ("[!]a.tmp", "!a.tmp"),
        ("\\![ab].tmp", "!a.tmp"),
        ("*.jpg[,]*.png", "1.jpg,2.png"),
        ("*,v", "main.c,v"),
        ("cur/*:2,*S*", "cur/17.M1:2,RS"),
        ("Smith, *.pdf", "Smith, John.pdf"),
        ("a *.b", "a c.b"),
        ("x[ ]", "x "),
        ("[~]/a", "~/a"),
        ("*.{svg}", "a.svg"),
        ("{a,b}(1|2)", "a(1|2)"),
        ("a\\*b", "a*b"),
        ("it's", "it's"),
        ("[^]]x", "ax"),
        ("[:]a]", ":a]"),
        ("a\\/b", "a/b"),
    ] {
        assert_eq!(class(&[pattern], &[], &[], name), Some(Class::Ordinary), "{pattern} {name}");
    }
}

#[test]
fn a_pattern_that_ends_in_a_slash_protects_a_folder_and_all_in_it() {
    for pattern in ["keep/", "**/keep/", "k{ee,}p/"] {
        assert_eq!(class(&["*", ".*"], &[pattern], &[], "keep/.hidden"), None, "{pattern}");
        for path in ["keep/a", "keep/deep/below/a", "x/keep/a", "x/y/keep/deep/a"] {
            assert_eq!(class(&["*"], &[pattern], &[], path), None, "{pattern} {path}");
            assert_eq!(class(&["*"], &[], &[pattern], path), Some(Class::Archive), "{pattern} {path}");
        }
        for path in ["keeper/a", "a", "x/a", "keep"] {
            assert_eq!(class(&["*"], &[pattern], &[], path), Some(Class::Ordinary), "{pattern} {path}");
        }
        let patterns = Patterns::new(&["*"], &[pattern], &[]).unwrap();
        assert!(patterns.excludes_folder(Name { folder: b"", last: b"keep" }), "{pattern}");
        assert!(patterns.excludes_folder(Name { folder: b"x", last: b"keep" }), "{pattern}");
        assert!(!patterns.excludes_folder(Name { folder: b"", last: b"keeper" }), "{pattern}");
        let patterns = Patterns::new(&["*"], &[], &[pattern]).unwrap();
        for (folder, last) in [("", "keep"), ("x", "keep"), ("keep", "deep")] {
            let name = Name { folder: folder.as_bytes(), last: last.as_bytes() };
            assert!(patterns.keeps_folder(name, Archives::Keep), "{pattern} {name}");
            assert!(!patterns.keeps_folder(name, Archives::Judge), "{pattern} {name}");
        }
    }
    assert_eq!(class(&["*"], &["x/keep/"], &[], "keep/a"), Some(Class::Ordinary));
    assert_eq!(class(&["*"], &["x/keep/"], &[], "x/keep/a"), None);
    for (pattern, inside, outside) in [("**/", "x/a", "a"), ("x/**/", "x/y/a", "x/a"), ("*/", "x/y/a", "a")] {
        assert_eq!(class(&["*"], &[pattern], &[], inside), None, "{pattern}");
        assert_eq!(class(&["*"], &[pattern], &[], outside), Some(Class::Ordinary), "{pattern}");
    }
    assert!(matches!(check_include("keep/"), Err(PatternError::Never(Never::Folder { folder })) if folder == "keep"));
}

#[test]
fn a_wildcard_does_not_stand_for_a_leading_dot() {
    let both = |include: &str, path: &str| {
        let (folder, last) = path.rsplit_once('/').unwrap_or(("", path));
        let name = Name { folder: folder.as_bytes(), last: last.as_bytes() };
        let patterns = Patterns::new(&[include], &[], &[]).unwrap();
        let (left, class) = (patterns.leaves_dotfile(name), patterns.class(name).is_some());
        let all = patterns.with_dotfiles(Dotfiles::Match);
        assert!(all.class(name).is_some() && !all.leaves_dotfile(name), "{include} {path}");
        assert_ne!(left, class, "{include} {path}");
        class
    };
    for (include, path) in [
        ("*", ".gitkeep"),
        ("?htaccess", ".htaccess"),
        ("[.]env", ".env"),
        ("[!a]env", ".env"),
        ("*.svg", ".a.svg"),
        ("{*,b}", ".a"),
        ("{,x}*", ".a"),
        ("**", ".a"),
        ("**/*", ".a"),
        ("**/a", ".git/a"),
        ("**", "x/.a"),
        ("a/**", "a/.b/c"),
        ("a/*", "a/.b"),
        ("*/a", ".b/a"),
        ("*", ".git/config"),
        ("config", ".git/config"),
        (".a", ".git/.a"),
        ("*", "x/.git/config"),
    ] {
        assert!(!both(include, path), "{include} {path}");
    }
    for (include, path) in [
        (".*", ".gitkeep"),
        (".cache-*", ".cache-1"),
        ("{.,}*", ".a"),
        ("\\.*", ".a"),
        (".git/*", ".git/config"),
        (".cache/**", ".cache/a/b"),
        ("**/.a", "x/.a"),
        ("**/.*/*", "x/.git/a"),
        ("a.*", "a.b"),
        ("*", "a.b"),
        ("*", "x/a..b"),
        ("*", "x./a"),
    ] {
        let (folder, last) = path.rsplit_once('/').unwrap_or(("", path));
        let name = Name { folder: folder.as_bytes(), last: last.as_bytes() };
        let patterns = Patterns::new(&[include], &[], &[]).unwrap();
        assert_eq!(patterns.class(name), Some(Class::Ordinary), "{include} {path}");
        assert!(!patterns.leaves_dotfile(name), "{include} {path}");
    }
}

#[test]
fn where_patterns_protect_a_wildcard_stands_for_any_dot() {
    assert_eq!(class(&[".*"], &["*"], &[], ".a"), None);
    assert_eq!(class(&[".*"], &["**/*.keep"], &[], ".a.keep"), None);
    assert_eq!(class(&[".*"], &[], &["*.keep"], ".a.keep"), Some(Class::Archive));
    assert_eq!(class(&["*"], &[], &[".*"], ".a"), Some(Class::Archive));
    // Archives may be judged like everything else, so what no list names with its dot is not even an archive.
    assert_eq!(class(&["*"], &[], &["*.keep"], ".a.keep"), None);
}

#[test]
fn an_empty_hidden_folder_stays_unless_a_pattern_leads_into_it() {
    let keeps = |include: &str, dotfiles, folder: &str, last: &str| {
        let patterns = Patterns::new(&[include], &[], &[]).unwrap().with_dotfiles(dotfiles);
        patterns.keeps_folder(Name { folder: folder.as_bytes(), last: last.as_bytes() }, Archives::Keep)
    };
    assert!(keeps("*", Dotfiles::Leave, "", ".git"));
    assert!(keeps("**", Dotfiles::Leave, "a/.git", "refs"));
    assert!(!keeps("*", Dotfiles::Match, "", ".git"));
    assert!(!keeps("*", Dotfiles::Leave, "a", "b.c"));
    assert!(!keeps(".cache/**", Dotfiles::Leave, "", ".cache"));
    assert!(!keeps(".cache-*/*.tmp", Dotfiles::Leave, "", ".cache-1"));
    assert!(keeps(".cache/*", Dotfiles::Leave, "", ".git"));
}

/// Patterns of all there is, some of them with letters of two and of three bytes.
const ANY_PATTERN: &str = "[ab*?/,.äé€-]{0,3}\
    ([ab*?/ä€]|\\\\[*?ä/]|\\[[!^]?[]ab!.ä€-]{1,4}\\]|\\{[ab,/*?.ä]{0,5}\\}|\\{a\\{b,\\*\\*/é?\\}\\}){0,4}[ab*/ä.]{0,3}";

/// Names of the same letters, of parts of letters, and of bytes that are in none.
fn any_name() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&[u8]] = &[
        b"a",
        b"b",
        b".",
        b"/",
        b"-",
        b"]",
        b"!",
        b"\xc3\xa4",
        b"\xc3\xa9",
        b"\xe2\x82\xac",
        b"\xff",
        b"\xc3",
        b"\xa4",
        b"\xe2\x82",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 0..9).prop_map(|pieces| pieces.concat())
}

fn name_of(path: &[u8]) -> Name<'_> {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => Name { folder: &path[..slash], last: &path[slash + 1..] },
        None => Name { folder: b"", last: path },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pattern_matches_what_the_plainest_reading_of_it_matches(text in ANY_PATTERN, path in any_name()) {
        let Ok(tokens) = glob::parse(&text) else { return Ok(()) };
        let program = Program::new(&tokens).unwrap();
        for dots in [Dots::Match, Dots::Leave] {
            let expected = oracle::matches(&text, &path, dots);
            prop_assert_eq!(program.matches(&[&path], dots), expected, "{:?} {:?}", dots, text);
            prop_assert_eq!(program.matches_by_place(&[&path], dots), expected, "{:?} {:?}", dots, text);
        }
        // What it matches in a folder, it leads to.
        let slash = path.iter().position(|byte| *byte == b'/').filter(|at| at + 1 < path.len());
        if let Some(slash) = slash.filter(|_| program.matches(&[&path], Dots::Leave)) {
            prop_assert!(program.leads_into(&path[..slash], Dots::Leave), "{:?}", text);
        }
    }

    #[test]
    fn what_makes_matching_fast_changes_nothing(text in ANY_PATTERN, path in any_name()) {
        let name = name_of(&path);
        // In a name, no component is empty.
        let is_name = !path.split(|byte| *byte == b'/').any(<[u8]>::is_empty);
        let text = text.trim_matches('/');
        if let (Ok(glob), true) = (CompiledGlob::new(text), is_name) {
            let subject = if text.contains('/') { &path } else { name.last };
            prop_assert_eq!(glob.matches(name), oracle::matches(&expand(text), subject, Dots::Match), "{:?} {:?}", text, glob);
        }
    }

    #[test]
    fn a_plain_pattern_means_what_its_program_means(
        text in "[ab.,!^-]{0,2}[ab*-]{0,6}[ab.é*-]{0,3}",
        name in any_name().prop_map(|name| name.into_iter().filter(|byte| *byte != b'/').collect::<Vec<_>>()),
    ) {
        if let (Some(plain), Ok(tokens)) = (Plain::of(&text), glob::parse(&text)) {
            let program = Program::new(&tokens).unwrap();
            prop_assert_eq!(plain.matches(&name), program.matches(&[&name], Dots::Match), "{:?} {:?}", text, name);
        }
    }

    /// Earlier versions matched by `globset`. What is written in ASCII still means the same, but that no set matches `/`.
    #[test]
    fn patterns_of_ascii_mean_what_they_did(
        text in "[ab*?/{,}.!-]{0,3}([ab*?/]|\\[[ab!.]{1,3}\\]|\\{[ab,/*]{0,4}\\}){0,4}[ab*/]{0,3}",
        name in "[ab./-]{1,8}",
    ) {
        // What ends in `/` is read as a folder before anything is compiled.
        let is_path = !text.ends_with('/') && !name.starts_with('/') && !name.ends_with('/') && !name.contains("//");
        let is_comparable = is_path && !(text.contains('[') && name.contains('/'));
        let mut builder = globset::GlobBuilder::new(&text);
        let builder = builder.literal_separator(true).backslash_escape(true).empty_alternates(true);
        let (theirs, ours) = (builder.build(), glob::parse(&text));
        prop_assert_eq!(theirs.is_ok(), ours.is_ok(), "{:?}", text);
        if let (Ok(theirs), Ok(ours), true) = (theirs, ours, is_comparable) {
            let ours = Program::new(&ours).unwrap().matches(&[name.as_bytes()], Dots::Match);
            prop_assert_eq!(ours, theirs.compile_matcher().is_match(&name), "{:?} {:?}", text, name);
        }
    }
}

#[test]
fn a_wildcard_stands_for_a_character_however_many_bytes_it_has() {
    for (pattern, name) in [
        ("Anh?nge.pdf", "Anhänge.pdf"),
        ("[aä]nderung", "änderung"),
        ("[ä-ö]", "é"),
        ("[!a]", "ä"),
        ("[^€]", "日"),
        ("?", "€"),
        ("??", "日本"),
        ("?", "\u{1f4c4}"),
        ("*{ä,ö}?", "xä€"),
        ("x?/y[!z]", "xä/yö"),
    ] {
        assert_eq!(class(&[pattern], &[], &[], name), Some(Class::Ordinary), "{pattern} {name}");
        assert_eq!(class(&["*", "**"], &[pattern], &[], name), None, "{pattern} {name}");
    }
    for (pattern, name) in [("??", "ä"), ("[ae-f]", "ä"), ("[ä]", "ö"), ("[!ä]", "ä"), ("[!ä]?", "ö"), ("?", "日本")]
    {
        assert_eq!(class(&[pattern], &[], &[], name), None, "{pattern} {name}");
    }
}

#[test]
fn a_byte_that_belongs_to_no_character_counts_as_one() {
    let class = |pattern: &str, last: &[u8]| {
        let name = Name { folder: b"", last };
        Patterns::new(&[pattern], &[], &[]).unwrap().class(name).is_some()
    };
    // Half a letter, and one of Latin 1.
    for (pattern, name) in [
        ("?", &b"\xc3"[..]),
        ("???", b"\xe2\x82x"),
        ("Anh?nge", b"Anh\xe4nge"),
        ("[!a]", b"\xff"),
        ("\u{c3}\u{a4}?", b"\xc3\x83\xc2\xa4\xff"),
    ] {
        assert!(class(pattern, name), "{pattern} {name:?}");
    }
    for (pattern, name) in [("?", &b"\xe2\x82"[..]), ("[a-\u{10ffff}]", b"\xff"), ("\u{ff}", b"\xff")] {
        assert!(!class(pattern, name), "{pattern} {name:?}");
    }
}

#[test]
fn no_wildcard_and_no_set_stands_for_a_slash() {
    for pattern in ["x[!a]y", "x[+-9]y", "x?y", "x*y"] {
        let pattern = format!("{{{pattern},z/z}}");
        assert_eq!(class(&[&pattern], &[], &[], "x/y"), None, "{pattern}");
        assert_eq!(class(&[&pattern], &[], &[], "x-y"), Some(Class::Ordinary), "{pattern}");
    }
}

#[test]
fn a_dash_behind_a_range_is_one_of_the_set() {
    let matches = |pattern: &str, name: &str| class(&[pattern], &[], &[], name).is_some();
    assert!(matches("[0-9-_]", "-") && matches("[0-9-_]", "_") && matches("[a-]", "-") && matches("[-a]", "-"));
    assert!(!matches("[0-9-_]", "A") && !matches("[a-c-e]", "d"));
}

#[test]
fn a_pattern_of_any_size_is_matched_or_refused() {
    let names: Vec<String> = (0..3000).map(|number| format!("name-{number}")).collect();
    let many = format!("{{{}}}.tmp", names.join(","));
    assert!(
        class(&[&many], &[], &[], "name-2999.tmp").is_some() && class(&[&many], &[], &[], "name-3000.tmp").is_none()
    );
    let stars = "*".repeat(3000) + "a";
    assert!(class(&[&stars], &[], &[], "bba").is_some());
    assert!(matches!(check(&"{".repeat(100_000)), Err(PatternError::Syntax(SyntaxError::TooDeep))));
    let steps = "{,a}".repeat(3000);
    assert!(matches!(Patterns::new(&["*"], &[steps.as_str()], &[]), Err(("exclude", 0, PatternError::TooLarge))));
}

#[test]
fn a_whole_directory_is_spared_by_its_dot_and_by_exclude_each_alone() {
    let of = |name: &str| {
        let patterns = Patterns::new(&["*", ".named-*"], &["keep*"], &[]).unwrap();
        patterns.class_of_whole(Name { folder: b"", last: name.as_bytes() })
    };
    assert_eq!(of("job"), Some(Class::Ordinary));
    assert_eq!(of(".job"), None);
    assert_eq!(of("keep-job"), None);
    assert_eq!(of(".named-job"), Some(Class::Ordinary));
}

#[test]
fn a_dotfile_is_left_only_where_everything_else_would_take_it() {
    let leaves = |name: &str| {
        let patterns = Patterns::new(&["*.svg", ".named-*"], &[".kept*"], &[]).unwrap();
        patterns.leaves_dotfile(Name { folder: b"", last: name.as_bytes() })
    };
    assert!(leaves(".a.svg"));
    for not in ["a.svg", ".a.txt", ".kept.svg", ".named-a.svg", ".named-a"] {
        assert!(!leaves(not), "{not}");
    }
}

#[test]
fn texts_between_stars_follow_each_other() {
    let matches = |pattern: &str, name: &str| class(&[pattern], &[], &[], name).is_some();
    assert!(matches("*ab*ba*", "abba") && matches("*ab*ba*", "xab-bay"));
    assert!(!matches("*ab*ba*", "aba") && !matches("*ab*ba*", "xaba"), "no character counts twice");
    assert!(matches("*aa*", "xaa") && !matches("*aa*", "xab") && !matches("*aa*", "xa"));
}

#[test]
fn a_lone_exclamation_mark_in_brackets_is_itself_unless_a_set_follows() {
    let matches = |pattern: &str, name: &str| class(&[pattern], &[], &[], name).is_some();
    assert!(matches("a[!].svg", "a!.svg"));
    assert!(matches("[!]a].svg", "x.svg"));
    assert!(!matches("[!]a].svg", "a.svg") && !matches("[!]a].svg", "].svg") && !matches("[!]a].svg", "!a].svg"));
}

#[test]
fn two_stars_mean_folders_only_as_a_whole_component() {
    use Token::{Deep, Either, Folders, Literal, Star};
    let parse = |text| glob::parse(text).unwrap();
    let (a, b, slash, comma) = (Literal('a'), Literal('b'), Literal('/'), Literal(','));
    assert_eq!(parse("**/a"), [Folders, a.clone()]);
    assert_eq!(parse("a**/b"), [a.clone(), Star, Star, slash.clone(), b.clone()]);
    assert_eq!(parse("a**"), [a.clone(), Star, Star]);
    assert_eq!(parse("a/**"), [a.clone(), slash.clone(), Deep]);
    assert_eq!(parse("a/**,b"), [a.clone(), slash.clone(), Star, Star, comma, b.clone()]);
    assert_eq!(parse("{a**,b}"), [Either(vec![vec![a.clone(), Star, Star], vec![b.clone()]])]);
    assert_eq!(parse("{a/**,b}"), [Either(vec![vec![a, slash, Deep], vec![b.clone()]])]);
    assert_eq!(parse("{**,b}"), [Either(vec![vec![Star, Star], vec![b]])]);
}

#[test]
fn limits_of_syntax_are_where_they_are_said_to_be() {
    let nested = |depth: usize| glob::parse(&("{".repeat(depth) + "a" + &"}".repeat(depth)));
    assert!(nested(64).is_ok());
    assert_eq!(nested(65), Err(SyntaxError::TooDeep));
    assert!(glob::parse("[a-a]").is_ok());
    assert_eq!(glob::parse("[b-a]"), Err(SyntaxError::InvalidRange('b', 'a')));
    assert_eq!(check(&"a".repeat(255)), Ok(()));
    assert_eq!(check(&"a".repeat(256)), Err(PatternError::Never(Never::TooLong)));
}

#[test]
fn what_looks_like_quotes_or_an_expression_is_taken_for_them_as_a_whole_only() {
    for never in ["\"a\"", "'a'", "^a$"] {
        assert!(matches!(check(never), Err(PatternError::Never(Never::Quoted | Never::Regex))), "{never}");
    }
    for fine in ["\"", "'", "\"a", "a\"", "'a", "a'", "^a", "a$", "[.a]", "[a.]"] {
        assert_eq!(check(fine), Ok(()), "{fine}");
    }
}

#[test]
fn a_list_in_one_text_is_told_from_a_name_with_a_separator_in_it() {
    let is_list = |text: &str| match check(text) {
        Err(PatternError::Never(Never::Several { .. })) => true,
        Ok(()) => false,
        other => panic!("{text}: {other:?}"),
    };
    for list in ["a.*,b.*", "*.jpg, x, *.png", "[a]*.jpg,*.png", "{a,b}*.jpg,*.png", "*.jpg *.png"] {
        assert!(is_list(list), "{list}");
    }
    for one in ["{*.jpg,*.png}", "*.jpg\\,*.png", "*[,]*.png", "*. *.png", "a.* b.*", "Smith, *.pdf"] {
        assert!(!is_list(one), "{one}");
    }
}

#[test]
fn sets_that_name_a_slash_or_a_class_are_errors_and_their_likes_are_none() {
    for error in ["[/a]", "[+-/]", "[/-9]", "{a,[+-/]}"] {
        assert!(matches!(check(error), Err(PatternError::Never(_))), "{error}");
    }
    assert_eq!(check("[[:digit:]]"), Err(PatternError::Never(Never::NamedSet)));
    for fine in ["[+-9]", "[[:]", "[:alpha:]"] {
        assert_eq!(check(fine), Ok(()), "{fine}");
    }
}
