//! Programs and the libraries they need, taken from a root and put at the places they have there.
//!
//! `root` resolves paths inside the root, `object` reads ELF headers, `search` finds libraries as ld.so does, `busybox`
//! links the applets, `sets` holds the default lists (the place to add one more tool).

pub mod busybox;
pub mod object;
pub mod root;
pub mod search;
pub mod sets;

use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, bail};

use crate::tree::{Tree, placed};
use object::{Machine, Object};
use root::Root;
use search::Search;

/// Where programs are looked for by name, in this order.
const PATH: &[&str] = &["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"];

/// Packs programs of one root into a tree.
#[derive(Debug)]
pub struct Packer<'a> {
    root: Root,
    search: Search,
    tree: &'a mut Tree,
    /// What the first program runs on; all others must as well.
    machine: Option<Machine>,
    /// Interpreters of scripts, with the script that wants them: looked at when everything else is in.
    interpreters: Vec<(String, String)>,
}

impl<'a> Packer<'a> {
    /// Packs from `root` into `tree`.
    pub fn new(root: Root, tree: &'a mut Tree) -> Result<Self> {
        let search = Search::new(&root)?;
        Ok(Self { root, search, tree, machine: None, interpreters: Vec::new() })
    }

    /// Packs a program: a name, or an absolute path inside the root.
    pub fn program(&mut self, name: &str) -> Result<()> {
        let path = if name.contains('/') {
            name.to_owned()
        } else {
            let places = PATH.iter().map(|dir| format!("{dir}/{name}"));
            places.into_iter().find(|place| self.root.is_file(place)).unwrap_or_else(|| name.to_owned())
        };
        if !self.root.is_file(&path) {
            bail!("tool {name} is not in {}: {}", self.root, sets::hint(name));
        }
        self.pack(&path).with_context(|| format!("packing the tool {name}"))
    }

    /// Packs all that a set of tools consists of.
    pub fn set(&mut self, set: sets::ToolSet) -> Result<()> {
        let recipe = set.recipe();
        for program in recipe.programs {
            self.program(program)?;
        }
        for library in recipe.loaded {
            self.library(library)?;
        }
        for file in recipe.files {
            if self.root.is_file(file) {
                self.copy(file)?;
            }
        }
        Ok(())
    }

    /// Puts `data` at `path`, and the libraries it needs at theirs.
    pub fn contents(&mut self, path: &str, mode: u32, data: Vec<u8>) -> Result<()> {
        let object = Object::parse(&data).with_context(|| format!("reading the ELF headers of {path}"))?;
        match object {
            Some(object) => {
                if *self.machine.get_or_insert(object.machine) != object.machine {
                    bail!("{path} is for another kind of machine than /init");
                }
                self.needs(path, &object, &[])?;
            }
            None => self.script(path, &data),
        }
        self.tree.file(path, mode, data)
    }

    /// Links busybox's applets beside the real tools, which go first, and finds the interpreters of scripts.
    pub fn finish(mut self) -> Result<()> {
        busybox::link(self.tree)?;
        while let Some((interpreter, script)) = self.interpreters.pop() {
            let there = placed(&interpreter).is_ok_and(|path| self.tree.contains(&format!("/{path}")));
            if !there {
                self.program(&interpreter).with_context(|| format!("finding the interpreter of {script}"))?;
            }
        }
        Ok(())
    }

    /// Packs a file of the root, with the links that lead to it and all it needs.
    fn pack(&mut self, path: &str) -> Result<()> {
        if let Some((file, mode, data)) = self.fetch(path)? {
            self.contents(&file, mode, data)?;
        }
        Ok(())
    }

    /// Packs a plain file of the root.
    fn copy(&mut self, path: &str) -> Result<()> {
        match self.fetch(path)? {
            Some((file, mode, data)) => self.tree.file(&file, mode, data),
            None => Ok(()),
        }
    }

    /// Packs the links that lead to a file of the root and reads it; nothing if it is in already.
    fn fetch(&mut self, path: &str) -> Result<Option<(String, u32, Vec<u8>)>> {
        let found = self.root.resolve(path)?;
        for (link, next) in found.links.iter().zip(found.links.iter().skip(1).chain([&found.file])) {
            self.link(link, next)?;
        }
        if self.tree.contains(&found.file) {
            return Ok(None);
        }
        let host = self.root.host(&found.file);
        let data = std::fs::read(&host).with_context(|| format!("reading {}", host.display()))?;
        let mode = std::fs::metadata(&host)?.permissions().mode();
        // Owner may be another than root there, so set-id bits are not carried over.
        Ok(Some((found.file, if mode & 0o111 == 0 { 0o644 } else { 0o755 }, data)))
    }

    /// A symbolic link between two places of the initrd.
    fn link(&mut self, link: &str, target: &str) -> Result<()> {
        let (link, target) = (placed(link)?, placed(target)?);
        // /sbin/x -> /usr/sbin/x of a root that is not merged is one place here.
        if link == target {
            return Ok(());
        }
        let text = match (link.rsplit_once('/'), target.rsplit_once('/')) {
            (Some((from, _)), Some((to, name))) if from == to => name.to_owned(),
            _ => format!("/{target}"),
        };
        self.tree.symlink(&format!("/{link}"), &text)
    }

    /// Packs the loader and the libraries that `object`, which lies at `path`, needs; `inherited` are the RPATHs of
    /// those that brought it in.
    fn needs(&mut self, path: &str, object: &Object, inherited: &[String]) -> Result<()> {
        if let Some(loader) = &object.interpreter {
            if !self.root.is_file(loader) {
                bail!("{path} needs the loader {loader}, which is not in {}", self.root);
            }
            self.pack(loader)?;
        }
        let origin = path.rsplit_once('/').map_or("/", |(dir, _)| dir);
        let own = object.search_dirs(origin, inherited);
        for name in &object.needed {
            let Some(found) = self.search.find(&self.root, name, object.machine, &own)? else {
                bail!(
                    "library {name} is not in {}: {path} needs it. Install the package it comes with there",
                    self.root
                );
            };
            if let Some(home) = self.search.unreachable(&self.root, &found, &own, object.machine)? {
                self.link(&format!("{home}/{name}"), &found)?;
            }
            let Some((file, mode, data)) = self.fetch(&found)? else { continue };
            let library = Object::parse(&data)?.with_context(|| format!("{file} is no ELF file"))?;
            // In before what it needs: libraries may need each other.
            self.tree.file(&file, mode, data)?;
            self.needs(&file, &library, &own)?;
        }
        Ok(())
    }

    /// Packs a library that a program loads by name at run time.
    fn library(&mut self, name: &str) -> Result<()> {
        let Some(machine) = self.machine else { return Ok(()) };
        match self.search.find(&self.root, name, machine, &[])? {
            Some(path) => self.pack(&path),
            None => bail!("library {name} is not in {}", self.root),
        }
    }

    fn script(&mut self, path: &str, data: &[u8]) {
        let Some(line) = data.strip_prefix(b"#!").and_then(|rest| rest.split(|&byte| byte == b'\n').next())
        else {
            return;
        };
        let line = String::from_utf8_lossy(line);
        let mut words = line.split_whitespace();
        let Some(interpreter) = words.next() else { return };
        self.interpreters.push((interpreter.to_owned(), path.to_owned()));
        if let ("/usr/bin/env", Some(name)) = (interpreter, words.next()) {
            self.interpreters.push((name.to_owned(), path.to_owned()));
        }
    }
}
