/** The uniform block of a dispatch: words by name, checked against the `struct Params` of the kernel's own text. */
import { ShaderError } from '../core/errors.ts';
import { BLOCK_WORDS, type Declarations, declarationsOf, type WordType } from './declarations.ts';
import type { KernelBinding, KernelCall } from './kernel.ts';

/** A call that agrees with its text: where its words go, and its bindings in the order of their numbers. */
export interface CheckedCall {
  /** What the text declares. */
  readonly declarations: Declarations;
  /** The call's bindings in the order of their numbers. */
  readonly bindings: readonly KernelBinding[];
  /** The uniform block, a part of a larger buffer, with zeros where the dispatcher fills: the range of tiles, and the starts of windows. */
  readonly words: Uint32Array<ArrayBuffer>;
}

/** What the dispatcher fills in every kernel. */
const TILES = ['first_tile', 'end_tile'];
const LIMITS = { u32: [0, 0xffffffff], i32: [-0x80000000, 0x7fffffff] } as const;

/**
 * Checks a call's `params` and `bindings` against the declarations of its WGSL and lays the words out.
 *
 * @throws ShaderError that names kernel and field for a word that is missing, unknown, the dispatcher's own, fractional, negative
 * in a u32, too large for its type or not finite; and for a binding that is missing, unknown or of another access
 */
export function checkCall(call: KernelCall): CheckedCall {
  const declarations = declarationsOf(call);
  const bindings = checkBindings(call, declarations);
  const filled = new Set(TILES);
  for (const { window } of call.bindings) if (window?.field !== undefined) filled.add(window.field);
  for (const name of filled) checkFilled(call, declarations, name);
  for (const name of Object.keys(call.params)) {
    if (!declarations.fields.has(name)) refuse(call, name, 'Params has no such field', [...declarations.fields.keys()]);
  }
  const words = newBlock();
  const view = new DataView(words.buffer, words.byteOffset, words.byteLength);
  for (const [name, { word, type }] of declarations.fields) {
    if (filled.has(name)) continue;
    const value = call.params[name];
    if (value === undefined) refuse(call, name, 'the call lacks a word', type);
    setWord(view, word, type, checkWord(call, name, type, value));
  }
  return { declarations, bindings, words };
}

/** Blocks are cut from one piece of memory, as many as a network has calls: a buffer for each costs more than what is written to it. */
const BLOCKS = 256;
let blocks = new Uint32Array(0);

/** A uniform block of zeros. */
function newBlock(): Uint32Array<ArrayBuffer> {
  if (blocks.length < BLOCK_WORDS) blocks = new Uint32Array(BLOCKS * BLOCK_WORDS);
  const block = blocks.subarray(0, BLOCK_WORDS);
  blocks = blocks.subarray(BLOCK_WORDS);
  return block;
}

function checkFilled(call: KernelCall, { fields }: Declarations, name: string): void {
  const type = fields.get(name)?.type;
  if (type !== 'u32') refuse(call, name, 'the dispatcher fills a field that Params must have', `${name}: u32`, type);
  if (name in call.params) refuse(call, name, 'the dispatcher fills this field', 'no word', call.params[name]);
}

function checkBindings(call: KernelCall, { bindings }: Declarations): KernelBinding[] {
  for (const { name } of call.bindings) {
    if (!bindings.some(b => b.name === name)) {
      refuse(
        call,
        name,
        'the text declares no such binding',
        bindings.map(b => b.name),
        name,
        'binding ',
      );
    }
  }
  return bindings.map(declared => {
    const own = call.bindings.filter(b => b.name === declared.name);
    const [first] = own;
    if (!first || own.length > 1) refuse(call, declared.name, 'a binding is named once', 1, own.length, 'binding ');
    const access = first.access === 'read' ? 'read' : 'read_write';
    if (access !== declared.access) {
      refuse(call, declared.name, 'the text gives a binding another access', declared.access, first.access, 'binding ');
    }
    return first;
  });
}

function checkWord(call: KernelCall, name: string, type: WordType, value: number): number {
  if (type === 'f32') {
    if (!Number.isFinite(Math.fround(value))) refuse(call, name, 'a word is not finite', 'an f32', value);
    return value;
  }
  const [least, most] = LIMITS[type];
  if (!(Number.isInteger(value) && value >= least && value <= most)) {
    refuse(call, name, 'a word does not fit its type', `${type}: a whole number from ${least} to ${most}`, value);
  }
  return value;
}

function setWord(view: DataView, word: number, type: WordType, value: number): void {
  if (type === 'f32') view.setFloat32(4 * word, value, true);
  else if (type === 'i32') view.setInt32(4 * word, value, true);
  else view.setUint32(4 * word, value, true);
}

function refuse(
  call: KernelCall,
  name: string,
  problem: string,
  expected: unknown,
  received?: unknown,
  what = 'Params.',
): never {
  const fix = `Make the call agree with ${call.kernel}.wgsl.`;
  throw new ShaderError({ op: call.kernel, problem, expected, received, path: `${what}${name}`, fix });
}
