//! Tests that the top-level modules of each crate do not import each other in a circle.
//!
//! A circle means that the modules are one idea, or that they need a common module below them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// The top-level modules that the files of each top-level module of a crate import.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// The first segments of the paths below `crate::` that a file names outside its tests.
#[derive(Default)]
struct Named(BTreeSet<String>);

impl Named {
    /// Adds what `tree` imports. `inside` is true if `tree` is below `crate`.
    fn add(&mut self, tree: &syn::UseTree, inside: bool) {
        match tree {
            syn::UseTree::Path(path) if inside => {
                self.0.insert(path.ident.to_string());
            }
            syn::UseTree::Path(path) if path.ident == "crate" => self.add(&path.tree, true),
            syn::UseTree::Name(name) if inside => {
                self.0.insert(name.ident.to_string());
            }
            syn::UseTree::Rename(name) if inside => {
                self.0.insert(name.ident.to_string());
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.add(tree, inside));
            }
            _ => {}
        }
    }
}

impl<'ast> Visit<'ast> for Named {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add(&item.tree, false);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = path.segments.iter().map(|segment| &segment.ident);
        if segments.next().is_some_and(|first| first == "crate") {
            self.0.extend(segments.next().map(ToString::to_string));
        }
        visit::visit_path(self, path);
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && matches!(&attribute.meta, syn::Meta::List(list) if list.tokens.to_string() == "test")
    })
}

fn parse(path: &Path) -> syn::File {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the files of the module `name` in `src`, without those that are only compiled for tests.
fn files(src: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![
        src.join(format!("{name}.rs")),
        src.join(name).join("mod.rs"),
    ];
    while let Some(path) = open.pop() {
        if !path.is_file() {
            continue;
        }
        let parent = match path.file_stem().and_then(|stem| stem.to_str()) {
            Some("mod") => path.parent().map_or_else(PathBuf::new, Path::to_owned),
            _ => path.with_extension(""),
        };
        for item in parse(&path).items {
            if let syn::Item::Mod(item) = item
                && item.content.is_none()
                && !is_test(&item.attrs)
            {
                let name = item.ident.to_string();
                open.push(parent.join(format!("{name}.rs")));
                open.push(parent.join(&name).join("mod.rs"));
            }
        }
        found.push(path);
    }
    found
}

/// Adds to `home` the names that `tree` brings from one of `modules` into the root of the crate.
fn exported(
    tree: &syn::UseTree,
    module: Option<&str>,
    modules: &BTreeSet<String>,
    home: &mut BTreeMap<String, String>,
) {
    match (tree, module) {
        (syn::UseTree::Path(path), None) => {
            let name = path.ident.to_string();
            let module = modules.contains(&name).then_some(name.as_str());
            exported(&path.tree, module, modules, home);
        }
        (syn::UseTree::Path(path), module) => exported(&path.tree, module, modules, home),
        (syn::UseTree::Name(name), Some(module)) => {
            home.insert(name.ident.to_string(), module.to_owned());
        }
        (syn::UseTree::Group(group), module) => {
            for tree in &group.items {
                exported(tree, module, modules, home);
            }
        }
        _ => {}
    }
}

/// Returns what the top-level modules of the crate in `src` import from one another.
fn imports(src: &Path) -> Imports {
    let roots = ["lib.rs", "main.rs"].map(|name| src.join(name));
    let Some(root) = roots.iter().find(|path| path.is_file()) else {
        panic!("{}: expected lib.rs or main.rs", src.display());
    };
    let root = parse(root);
    let mut modules = BTreeSet::new();
    for item in &root.items {
        if let syn::Item::Mod(item) = item
            && !is_test(&item.attrs)
        {
            modules.insert(item.ident.to_string());
        }
    }
    let mut home = BTreeMap::new();
    for item in &root.items {
        if let syn::Item::Use(item) = item {
            exported(&item.tree, None, &modules, &mut home);
        }
    }
    let of = |module: &String| {
        let mut named = Named::default();
        for path in files(src, module) {
            named.visit_file(&parse(&path));
        }
        let known = |name: &String| {
            let name = if modules.contains(name) {
                name
            } else {
                home.get(name)?
            };
            (name != module).then(|| name.clone())
        };
        (module.clone(), named.0.iter().filter_map(known).collect())
    };
    modules.iter().map(of).collect()
}

/// Returns a path of imports from `from` back to itself, if there is one.
fn circle(imports: &Imports, from: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![from.to_owned()]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        for next in way
            .last()
            .and_then(|module| imports.get(module))
            .into_iter()
            .flatten()
        {
            let mut longer = way.clone();
            longer.push(next.clone());
            if next == from {
                return Some(longer);
            }
            if seen.insert(next.clone()) {
                ways.push(longer);
            }
        }
    }
    None
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut circles = Vec::new();
    for folder in fs::read_dir(crates).unwrap() {
        let folder = folder.unwrap();
        let imports = imports(&folder.path().join("src"));
        let ways = imports.keys().filter_map(|module| circle(&imports, module));
        let name = folder.file_name().to_string_lossy().into_owned();
        circles.extend(ways.map(|way| format!("{name}: {}", way.join(" -> "))));
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn a_circle_is_found() {
    let imports = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")];
    let imports: Imports = imports
        .into_iter()
        .map(|(from, to)| (from.to_owned(), BTreeSet::from([to.to_owned()])))
        .collect();
    let found = circle(&imports, "a").map(|way| way.join(" -> "));
    assert_eq!(found.as_deref(), Some("a -> b -> c -> a"));
    assert_eq!(circle(&imports, "d"), None);
}
