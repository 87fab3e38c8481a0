/**
 * Short names for the private members (`_name`) of the package: one letter each. Members of different objects share names, which
 * compress well; members of one object never do. The objects are the literals, classes and interfaces of the sources, and the
 * compiler's types allow no access to a member that an object does not declare.
 */
import { readFile, readdir } from 'node:fs/promises';
import ts from 'typescript';

/** The most frequent letters of JavaScript first. */
const LETTERS = 'tenorsaiculdfpmhvgbABCDEFGHIJKLMNOPQRSTUVWXYZ';
const SRC = new URL('../../src/', import.meta.url);

const isPrivate = (name) => /^_[a-z]/.test(name ?? '');

/** Returns the name of each private member. */
export async function shortNames() {
  /** Each object's private members. */
  const objects = [];
  const uses = new Map();
  const visit = (node) => {
    if (ts.isIdentifier(node) && isPrivate(node.text)) uses.set(node.text, (uses.get(node.text) ?? 0) + 1);
    const members = [...node.members ?? (ts.isObjectLiteralExpression(node) ? node.properties : [])];
    // A constructor may declare members as its parameters.
    const declared = members.flatMap((member) => [member, ...ts.isConstructorDeclaration(member) ? member.parameters : []]);
    if (declared.length) objects.push(new Set(declared.map(({ name }) => name?.text).filter(isPrivate)));
    ts.forEachChild(node, visit);
  };
  for (const file of await readdir(SRC)) {
    visit(ts.createSourceFile(file, await readFile(new URL(file, SRC), 'utf8'), ts.ScriptTarget.Latest));
  }
  /** Members that share a name, and how often it is used. */
  const names = [];
  for (const [member, count] of [...uses].sort(([, a], [, b]) => b - a)) {
    const own = objects.filter((object) => object.has(member));
    if (!own.length) throw new Error(`no object declares ${member}`);
    const isFree = ({ members }) => !own.some((object) => members.some((other) => object.has(other)));
    let name = names.sort((a, b) => b.count - a.count).find(isFree);
    if (!name) names.push(name = { members: [], count: 0 });
    name.members.push(member);
    name.count += count;
  }
  names.sort((a, b) => b.count - a.count);
  if (names.length > LETTERS.length) throw new Error('an object has more members than there are letters');
  return Object.fromEntries(names.flatMap(({ members }, index) => members.map((member) => [member, LETTERS[index]])));
}
