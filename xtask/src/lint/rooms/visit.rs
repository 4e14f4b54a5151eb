//! Collects the paths of one file. What is only for tests is left out.

use std::path::{Path, PathBuf};

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Meta, Token};

use super::source::{Module, Source, Use};

/// A module that has a file of its own.
#[derive(Debug)]
pub(super) struct Child {
    /// The module that declares it.
    pub(super) module: Module,
    pub(super) name: String,
    /// Where its file is looked for.
    pub(super) dir: PathBuf,
    /// What `#[path]` says.
    pub(super) path: Option<String>,
    pub(super) line: usize,
}

pub(super) struct Visitor<'a> {
    source: &'a mut Source,
    module: Module,
    file: &'a Path,
    dir: PathBuf,
    children: Vec<Child>,
}

impl<'a> Visitor<'a> {
    /// Adds what the file holds to `source`, and returns the modules that have files of their own.
    pub(super) fn visit_file(
        source: &'a mut Source,
        module: &Module,
        file: &'a Path,
        dir: &Path,
        parsed: &syn::File,
    ) -> Vec<Child> {
        let (module, dir) = (module.clone(), dir.to_owned());
        let mut visitor = Self { source, module, file, dir, children: Vec::new() };
        visit::visit_file(&mut visitor, parsed);
        visitor.children
    }

    fn add(&mut self, segments: Vec<String>, line: usize, is_export: bool) {
        let (from, file) = (self.module.clone(), self.file.to_owned());
        self.source.uses.push(Use { from, segments, file, line, is_export });
    }

    /// One path for each name that a `use` brings.
    fn add_tree(&mut self, before: &[String], tree: &syn::UseTree, is_export: bool) {
        let with = |name: &Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree, is_export),
            syn::UseTree::Name(name) if name.ident == "self" => {
                self.name(before, None, line(&name.ident), is_export);
            }
            syn::UseTree::Name(name) => self.name(&with(&name.ident), None, line(&name.ident), is_export),
            syn::UseTree::Rename(rename) => {
                let path = if rename.ident == "self" { before.to_vec() } else { with(&rename.ident) };
                self.name(&path, Some(rename.rename.to_string()), line(&rename.ident), is_export);
            }
            syn::UseTree::Glob(glob) => {
                self.add(before.to_vec(), glob.star_token.spans[0].start().line, is_export);
            }
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.add_tree(before, item, is_export));
            }
        }
    }

    fn name(&mut self, path: &[String], alias: Option<String>, line: usize, is_export: bool) {
        self.add(path.to_vec(), line, is_export);
        if let Some(name) = alias.or_else(|| path.last().cloned()) {
            self.source.root_names.insert((self.module.clone(), name), path.to_vec());
        }
    }

    /// Paths among the tokens of a macro or an attribute, which have no form that could be asked.
    fn add_tokens(&mut self, tokens: TokenStream, with_strings: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Ident(first) if !continues_a_path(&tokens[..at]) => {
                    let mut segments = vec![first.to_string()];
                    let line = line(first);
                    while let Some(TokenTree::Ident(next)) = after_colons(&tokens[at + 1..]) {
                        segments.push(next.to_string());
                        at += 3;
                    }
                    if segments.len() > 1 {
                        self.add(segments, line, false);
                    }
                }
                TokenTree::Group(group) => self.add_tokens(group.stream(), with_strings),
                TokenTree::Literal(literal) if with_strings => {
                    self.add_string(&literal.to_string(), literal.span());
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// `#[serde(with = "crate::a::b")]` leads somewhere as well.
    fn add_string(&mut self, literal: &str, span: proc_macro2::Span) {
        let Ok(path) = syn::parse_str::<syn::LitStr>(literal).and_then(|text| text.parse::<syn::Path>())
        else {
            return;
        };
        if path.segments.len() > 1 {
            self.add(names(&path), span.start().line, false);
        }
    }
}

/// Whether what follows these tokens goes on with a path or a method: `a::` or `a.`.
fn continues_a_path(before: &[TokenTree]) -> bool {
    let is =
        |token: Option<&TokenTree>, char| matches!(token, Some(TokenTree::Punct(p)) if p.as_char() == char);
    let (last, earlier) = (before.last(), before.len().checked_sub(2).and_then(|at| before.get(at)));
    is(last, '.') || (is(last, ':') && is(earlier, ':'))
}

/// What stands behind `::`.
fn after_colons(tokens: &[TokenTree]) -> Option<&TokenTree> {
    match tokens {
        [TokenTree::Punct(one), TokenTree::Punct(two), next, ..]
            if one.as_char() == ':' && two.as_char() == ':' =>
        {
            Some(next)
        }
        _ => None,
    }
}

fn line(ident: &Ident) -> usize {
    ident.span().start().line
}

fn names(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

/// Whether the compiler sees this only in tests.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_cfg = attribute.path().is_ident("cfg");
        attribute.path().is_ident("test")
            || (is_cfg && attribute.parse_args::<Meta>().is_ok_and(|condition| needs_test(&condition)))
    })
}

fn needs_test(condition: &Meta) -> bool {
    let Meta::List(list) = condition else { return condition.path().is_ident("test") };
    let parser = syn::punctuated::Punctuated::<Meta, Token![,]>::parse_terminated;
    let Ok(parts) = list.parse_args_with(parser) else { return false };
    if list.path.is_ident("all") {
        parts.iter().any(needs_test)
    } else {
        list.path.is_ident("any") && parts.iter().all(needs_test)
    }
}

/// Goes into each of these unless it is for tests.
macro_rules! unless_for_tests {
    ($($visit:ident $node:ident,)*) => {
        $(fn $visit(&mut self, node: &'ast syn::$node) {
            if !is_for_tests(&node.attrs) {
                visit::$visit(self, node);
            }
        })*
    };
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    unless_for_tests!(
        visit_item_const ItemConst,
        visit_item_enum ItemEnum,
        visit_item_fn ItemFn,
        visit_item_impl ItemImpl,
        visit_item_static ItemStatic,
        visit_item_struct ItemStruct,
        visit_item_trait ItemTrait,
        visit_item_type ItemType,
        visit_impl_item_const ImplItemConst,
        visit_impl_item_fn ImplItemFn,
        visit_field Field,
        visit_variant Variant,
        visit_local Local,
        visit_arm Arm,
        visit_expr_block ExprBlock,
    );

    fn visit_item_macro(&mut self, node: &'ast syn::ItemMacro) {
        if !is_for_tests(&node.attrs) {
            self.visit_macro(&node.mac);
        }
    }

    fn visit_item_mod(&mut self, node: &'ast syn::ItemMod) {
        if is_for_tests(&node.attrs) {
            return;
        }
        let name = node.ident.to_string();
        let Some((_, items)) = &node.content else {
            let (module, dir) = (self.module.clone(), self.dir.clone());
            let (path, line) = (path_of(&node.attrs), line(&node.ident));
            self.children.push(Child { module, name, dir, path, line });
            return;
        };
        let dir = self.dir.join(&name);
        let outer = std::mem::replace(&mut self.dir, dir);
        self.module.push(name);
        self.source.modules.insert(self.module.clone());
        for item in items {
            self.visit_item(item);
        }
        self.module.pop();
        self.dir = outer;
    }

    fn visit_item_use(&mut self, node: &'ast syn::ItemUse) {
        if !is_for_tests(&node.attrs) && node.leading_colon.is_none() {
            let is_export = !matches!(node.vis, syn::Visibility::Inherited);
            self.add_tree(&[], &node.tree, is_export);
        }
    }

    fn visit_path(&mut self, node: &'ast syn::Path) {
        if node.segments.len() > 1 && node.leading_colon.is_none() {
            self.add(names(node), line(&node.segments[0].ident), false);
        }
        visit::visit_path(self, node);
    }

    fn visit_macro(&mut self, node: &'ast syn::Macro) {
        self.visit_path(&node.path);
        self.add_tokens(node.tokens.clone(), false);
    }

    fn visit_attribute(&mut self, node: &'ast Attribute) {
        if let Meta::List(list) = &node.meta {
            self.add_tokens(list.tokens.clone(), true);
        }
    }

    /// `pub(in crate::a)` uses nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

fn path_of(attributes: &[Attribute]) -> Option<String> {
    let path = attributes.iter().find(|attribute| attribute.path().is_ident("path"))?;
    let syn::Expr::Lit(value) = &path.meta.require_name_value().ok()?.value else { return None };
    match &value.lit {
        syn::Lit::Str(text) => Some(text.value()),
        _ => None,
    }
}
