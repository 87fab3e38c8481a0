//! [`Woven`]: a source file with all of its mutations behind the switch.

use crate::sites::{Form, Site};

/// The function that each mutation calls. Each crate contains its own copy, so that none needs a new dependency.
pub(crate) const SWITCH: &str = include_str!("switch.rs.txt");

pub(crate) struct Woven {
    pub(crate) text: String,
    /// The bytes of the text that belong to each site.
    regions: Vec<Region>,
}

struct Region {
    start: usize,
    end: usize,
    site: usize,
    /// The mutation whose text this is; `None` for the whole site.
    mutation: Option<usize>,
}

/// A mutation: the index of its site in the file, and its index in the site.
pub(crate) type Place = (usize, usize);

/// Writes the mutations into the text. `sites` are sorted by their starts, an outer site before those inside it.
///
/// The text of a mutation contains no other mutations, since only one is active at a time: the text grows linearly with the depth
/// of the nesting.
pub(crate) fn weave(text: &str, sites: &[Site]) -> Woven {
    let mut woven = Woven { text: String::with_capacity(text.len() * 4), regions: Vec::new() };
    woven.range(text, 0, text.len(), sites, 0, sites.len());
    woven
}

impl Woven {
    fn range(&mut self, text: &str, start: usize, end: usize, sites: &[Site], first: usize, last: usize) {
        let (mut at, mut index) = (start, first);
        while index < last {
            let site = &sites[index];
            let inner = sites[index + 1..last].iter().take_while(|inner| inner.start < site.end).count();
            self.text.push_str(&text[at..site.start]);
            let region_start = self.text.len();
            self.site(text, sites, index, index + 1 + inner);
            self.regions.push(Region {
                start: region_start,
                end: self.text.len(),
                site: index,
                mutation: None,
            });
            (at, index) = (site.end, index + 1 + inner);
        }
        self.text.push_str(&text[at..end]);
    }

    fn site(&mut self, text: &str, sites: &[Site], index: usize, last: usize) {
        let site = &sites[index];
        let live = || site.mutations.iter().enumerate().filter(|(_, mutation)| mutation.viable);
        let asks: Vec<String> =
            live().map(|(_, mutation)| format!("crate::is_mutant({})", mutation.id)).collect();
        match site.form {
            _ if asks.is_empty() => self.range(text, site.start, site.end, sites, index + 1, last),
            Form::Value => {
                self.text.push('(');
                for ((place, mutation), ask) in live().zip(&asks) {
                    self.text.push_str(&format!("if {ask} {{ "));
                    self.mutation(index, place, &mutation.text);
                    self.text.push_str(" } else ");
                }
                self.text.push_str("{ ");
                self.range(text, site.start, site.end, sites, index + 1, last);
                self.text.push_str(" })");
            }
            Form::Statement => {
                self.text.push_str(&format!("if !{} {{ ", asks[0]));
                self.range(text, site.start, site.end, sites, index + 1, last);
                self.text.push_str(" }");
            }
            Form::Entry => {
                for ((place, mutation), ask) in live().zip(&asks) {
                    self.text.push_str(&format!(" if {ask} {{ "));
                    self.mutation(index, place, &mutation.text);
                    self.text.push_str(" }");
                }
            }
            Form::Arm => self.text.push_str(&format!(" if !{}", asks[0])),
        }
    }

    fn mutation(&mut self, site: usize, place: usize, text: &str) {
        let start = self.text.len();
        self.text.push_str(text);
        self.regions.push(Region { start, end: self.text.len(), site, mutation: Some(place) });
    }

    /// The mutations that cause an error in these bytes: those of the innermost region that contains the bytes, otherwise all
    /// that the bytes contain.
    pub(crate) fn at(&self, start: usize, end: usize, sites: &[Site]) -> Vec<Place> {
        let live =
            |places: &Vec<Place>| places.iter().any(|&(site, place)| sites[site].mutations[place].viable);
        let mut around: Vec<&Region> =
            self.regions.iter().filter(|region| region.start <= start && end <= region.end).collect();
        around.sort_by_key(|region| region.end - region.start);
        let innermost = around.into_iter().map(|region| region.places(sites)).find(live);
        innermost.unwrap_or_else(|| self.inside(start, end, sites))
    }

    /// All mutations whose text is in these bytes.
    pub(crate) fn inside(&self, start: usize, end: usize, sites: &[Site]) -> Vec<Place> {
        let inside = self.regions.iter().filter(|region| start <= region.start && region.end <= end);
        inside.flat_map(|region| region.places(sites)).collect()
    }
}

impl Region {
    fn places(&self, sites: &[Site]) -> Vec<Place> {
        match self.mutation {
            Some(mutation) => vec![(self.site, mutation)],
            None => (0..sites[self.site].mutations.len()).map(|place| (self.site, place)).collect(),
        }
    }
}
