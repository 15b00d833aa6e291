/**
 * What a kernel's own text declares: the fields of its `struct Params` and its storage bindings. The dispatcher lays words and
 * buffers out by these, so that no order and no type is written twice.
 */
import { ShaderError } from '../core/errors.ts';
import type { Program } from '../gpu/specialize.ts';

/** Types that a field of `struct Params` may have. */
export type WordType = 'u32' | 'i32' | 'f32';

/** One field of `struct Params`: its place in the uniform block, counted in words of four bytes. */
export interface ParamField {
  /** Place in the block, from 0 on. */
  readonly word: number;
  /** Its scalar type. */
  readonly type: WordType;
}

/** One `@group(0) @binding(n) var<storage, …>`, n a number or a `const` of it; n counts from 1, because 0 is the uniform block. */
export interface BindingDeclaration {
  /** Its number, from 1 on. */
  readonly binding: number;
  /** The variable's name. */
  readonly name: string;
  /** Whether the text may write to it. */
  readonly access: 'read' | 'read_write';
}

/** The interface of a kernel, read off its text and its libs. */
export interface Declarations {
  /** The fields of `struct Params` by name, in their order. */
  readonly fields: ReadonlyMap<string, ParamField>;
  /** In the order of their numbers. */
  readonly bindings: readonly BindingDeclaration[];
}

/** Words of a uniform block: 256 bytes, the step of uniform offsets on every device. */
export const BLOCK_WORDS = 64;

const PARAMS = /\bstruct\s+Params\s*\{([^}]*)\}/g;
const BINDING = /@group\(0\)\s*@binding\((\w+)\)\s*var<storage(?:,\s*(\w+))?>\s*(\w+)\s*:/g;
const FIELD = /^(\w+)\s*:\s*(u32|i32|f32)$/;

/** What is known of a source with some libs behind it, and of the same with one lib more. */
interface Known {
  declarations?: Declarations;
  readonly more: Map<string, Known>;
}

/** By the source, then by one lib after the other: to join them into a key would take longer than all else of a call. */
const known: Known = { more: new Map() };

/**
 * The declarations of a kernel and the libs appended to it, parsed once for each combination of texts.
 *
 * @throws ShaderError without exactly one `struct Params`, for fields that are no u32, i32 or f32, for more than 64 of them, and
 * for storage bindings that do not count up from 1
 */
export function declarationsOf(program: Pick<Program, 'kernel' | 'source' | 'libs'>): Declarations {
  let at = after(known, program.source);
  for (const lib of program.libs) at = after(at, lib);
  if (at.declarations) return at.declarations;
  const text = [program.source, ...program.libs].join('\n').replace(/\/\/.*$/gm, '');
  at.declarations = { fields: fieldsOf(program.kernel, text), bindings: bindingsOf(program.kernel, text) };
  return at.declarations;
}

function after({ more }: Known, text: string): Known {
  const there = more.get(text);
  if (there) return there;
  const made: Known = { more: new Map() };
  more.set(text, made);
  return made;
}

function fieldsOf(kernel: string, text: string): Map<string, ParamField> {
  const structs = [...text.matchAll(PARAMS)];
  if (structs.length !== 1) refuse(kernel, 'a kernel has one struct Params', 1, structs.length);
  const fields = new Map<string, ParamField>();
  const lines = (structs[0]?.[1] ?? '').split(',').map(line => line.trim());
  for (const line of lines.filter(Boolean)) {
    const [, name, type] = FIELD.exec(line) ?? [];
    if (!name || fields.has(name))
      refuse(kernel, 'a field of Params is a name with a type', 'name: u32 | i32 | f32', line);
    fields.set(name, { word: fields.size, type: type as WordType });
  }
  if (fields.size > BLOCK_WORDS) refuse(kernel, 'Params is too long', `at most ${BLOCK_WORDS} fields`, fields.size);
  return fields;
}

function bindingsOf(kernel: string, text: string): BindingDeclaration[] {
  const numberOf = (name = '') => new RegExp(`^const ${name}: u32 = (\\d+)u?;`, 'm').exec(text)?.[1] ?? name;
  const found = [...text.matchAll(BINDING)].map(([, binding, access = 'read', name = '']): BindingDeclaration => {
    return { binding: Number(numberOf(binding)), name, access: access === 'read' ? 'read' : 'read_write' };
  });
  found.sort((a, b) => a.binding - b.binding);
  if (found.some((b, i) => b.binding !== i + 1)) {
    const received = found.map(b => b.binding);
    refuse(kernel, 'storage bindings count up from 1', '@binding(0) for Params, then 1, 2, …', received);
  }
  return found;
}

function refuse(kernel: string, problem: string, expected: unknown, received: unknown): never {
  throw new ShaderError({ op: kernel, problem, expected, received, path: `${kernel}.wgsl`, fix: 'Correct the file.' });
}
