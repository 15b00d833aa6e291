/** The words of a kernel call by name, against the kernel's own text: what is refused, and what may change without harm. */
import { describe, expect, it } from 'vitest';
import { ShaderError } from '../../src/core/errors.ts';
import { createStorage } from '../../src/gpu/buffer.ts';
import { copy } from '../../src/kernels/copy.ts';
import { declarationsOf } from '../../src/kernels/declarations.ts';
import { DispatchList } from '../../src/kernels/dispatch.ts';
import { elementwiseUnary } from '../../src/kernels/elementwise-unary.ts';
import type { KernelCall } from '../../src/kernels/kernel.ts';
import { linear } from '../../src/kernels/linear.ts';
import { checkCall } from '../../src/kernels/words.ts';
import { testGpu } from '../support/gpu.ts';
import { runKernel } from '../support/run-kernel.ts';

const side = { pitch: 8, storage: 'f32' } as const;
const call = elementwiseUnary({ rows: 3, width: 5, x: side, y: side, alpha: 2, beta: -1 });

/** The call with some of its text or data changed. */
function changed(change: Partial<KernelCall>): () => unknown {
  return () => checkCall({ ...call, ...change });
}
function withWord(name: string, value: number): () => unknown {
  return changed({ params: { ...call.params, [name]: value } });
}
/** The call on a text in which something stands otherwise. */
function mutated(from: string | RegExp, to: string): Partial<KernelCall> {
  expect(call.source).toMatch(from);
  return { source: call.source.replace(from, to) };
}

describe('words are laid out by their names', () => {
  it('at the place and in the type that the text gives them', () => {
    const { words, bindings } = checkCall(call);
    const floats = new Float32Array(words.buffer, words.byteOffset);
    expect([...words.subarray(0, 6)]).toEqual([0, 0, 6, 5, 2, 2]); // tiles, count, width, pitches
    expect([...floats.subarray(6, 10)]).toEqual([2, -1, 0, 0]); // alpha, beta, low, high
    expect(bindings.map(b => b.name)).toEqual(['x', 'y']);
  });

  it('wherever the fields and bindings stand in the text', async () => {
    const gpu = await testGpu();
    const x = { storage: 'f32', values: Float32Array.from({ length: 24 }, (_, i) => (i % 8 < 5 ? i : 0)) } as const;
    const run = (of: KernelCall) => runKernel(gpu, of, { x, y: { storage: 'f32', size: 24 } });
    const plain = await run(call);
    expect([...plain.y.subarray(0, 6)]).toEqual([-1, 1, 3, 5, 7, 0]);
    const swaps: [RegExp, string][] = [
      [/count: u32,(.*)\n {2}width: u32,/, 'width: u32,$1\n  count: u32,'],
      [/alpha: f32, beta: f32,/, 'beta: f32, alpha: f32,'],
      [/first_tile: u32, end_tile: u32,([\s\S]*?)\n}/, '$1\n  end_tile: u32, first_tile: u32,\n}'],
      [/@binding\(1\)([^;]*;)([\s\S]*?)@binding\(2\)/, '@binding(2)$1$2@binding(1)'],
    ];
    for (const [from, to] of swaps) expect((await run({ ...call, ...mutated(from, to) })).y).toEqual(plain.y);
  });

  it('in a window, whose start the dispatcher writes where its field stands', async () => {
    const gpu = await testGpu({ maxBindingBytes: 65536 });
    const rows = 5003;
    const shift = copy({ rows, sources: [{ channels: 5, pitch: 8 }], storage: 'f32', y: { ...side, end: 8 } });
    const values = Float32Array.from({ length: rows * 8 }, (_, i) => (i % 8 < 5 ? i : 0));
    const operands = {
      x1: { storage: 'f32', values },
      x2: { storage: 'f32', values },
      y: { storage: 'f32', size: rows * 8 },
    } as const;
    const source = shift.source.replace(
      'x1_base: u32, x2_base: u32, y_base: u32,',
      'y_base: u32, x2_base: u32, x1_base: u32,',
    );
    expect(source).not.toBe(shift.source);
    for (const text of [shift.source, source]) {
      expect((await runKernel(gpu, { ...shift, source: text }, operands)).y).toEqual(values);
    }
  });

  it('so that gemm-tile and gemm-broadcast get every word of the struct that they share, and no other', async () => {
    const { caps } = await testGpu();
    const wide = { pitch: 64, storage: 'f32' } as const;
    const sizes = { batch: 1, rows: 64, columns: 64, k: 64, a: wide, y: wide };
    const b = { layout: 'panels', storage: 'f32' } as const;
    const calls = ([0, 8] as const).map(subgroupSize =>
      linear({ ...caps, software: true, subgroupSize }, { ...sizes, b }),
    );
    expect(calls.map(made => made.kernel)).toEqual(['gemm-tile', 'gemm-broadcast']);
    for (const made of calls) {
      const { fields } = checkCall(made).declarations;
      const filled = ['first_tile', 'end_tile', 'a_base', 'y_base'];
      expect([...Object.keys(made.params), ...filled].sort()).toEqual([...fields.keys()].sort());
      expect(fields.size).toBe(46);
    }
  });
});

describe('a call is refused, by kernel and field,', () => {
  it('for a word that is missing', () => {
    const { width: _, ...params } = call.params;
    expect(changed({ params })).toThrowErrorMatchingInlineSnapshot(
      `[ShaderError: elementwise-unary: the call lacks a word: expected u32 (Params.width). Make the call agree with elementwise-unary.wgsl.]`,
    );
  });

  it('for a word that the text does not know', () => {
    expect(withWord('widht', 1)).toThrowErrorMatchingInlineSnapshot(
      `[ShaderError: elementwise-unary: Params has no such field: expected [first_tile, end_tile, count, width, x_pitch, y_pitch, alpha, beta, low, high, x_base, y_base] (Params.widht). Make the call agree with elementwise-unary.wgsl.]`,
    );
  });

  it('for a word that is a fraction, negative, too large or no number in a u32', () => {
    expect(withWord('count', 1.5)).toThrowErrorMatchingInlineSnapshot(
      `[ShaderError: elementwise-unary: a word does not fit its type: expected u32: a whole number from 0 to 4294967295, got 1.5 (Params.count). Make the call agree with elementwise-unary.wgsl.]`,
    );
    expect(withWord('count', -1)).toThrowErrorMatchingInlineSnapshot(
      `[ShaderError: elementwise-unary: a word does not fit its type: expected u32: a whole number from 0 to 4294967295, got -1 (Params.count). Make the call agree with elementwise-unary.wgsl.]`,
    );
    expect(withWord('count', 2 ** 32)).toThrow('got 4294967296 (Params.count)');
    expect(withWord('count', Number.NaN)).toThrow('got NaN (Params.count)');
    expect(withWord('count', 2 ** 32 - 1)).not.toThrow();
  });

  it('for a word that is a fraction or too large in an i32, which may be negative', () => {
    const source = mutated(/width: u32/, 'width: i32');
    const signed = (width: number) => changed({ ...source, params: { ...call.params, width } });
    for (const value of [-(2 ** 31), 2 ** 31 - 1]) expect(signed(value)).not.toThrow();
    const { words } = checkCall({ ...call, ...source, params: { ...call.params, width: -7 } });
    expect(new Int32Array(words.buffer, words.byteOffset)[3]).toBe(-7);
    expect(signed(2 ** 31)).toThrow('a word does not fit its type: expected i32');
    expect(signed(-(2 ** 31) - 1)).toThrow(ShaderError);
    expect(signed(0.5)).toThrow('(Params.width)');
  });

  it('for an f32 that is not finite, also once it is rounded', () => {
    expect(withWord('alpha', Number.NaN)).toThrowErrorMatchingInlineSnapshot(
      `[ShaderError: elementwise-unary: a word is not finite: expected an f32, got NaN (Params.alpha). Make the call agree with elementwise-unary.wgsl.]`,
    );
    expect(withWord('alpha', Number.POSITIVE_INFINITY)).toThrow('got Infinity (Params.alpha)');
    expect(withWord('alpha', 1e39)).toThrow('a word is not finite');
    expect(withWord('alpha', -0.25)).not.toThrow();
  });

  it('for a word that is the dispatcher’s own', () => {
    expect(withWord('first_tile', 0)).toThrowErrorMatchingInlineSnapshot(
      `[ShaderError: elementwise-unary: the dispatcher fills this field: expected no word, got 0 (Params.first_tile). Make the call agree with elementwise-unary.wgsl.]`,
    );
    expect(withWord('y_base', 0)).toThrow('the dispatcher fills this field');
  });

  it('for a window at a field that Params lacks or has as a float', () => {
    const [x, y] = call.bindings;
    const at = (field: string) => changed({ bindings: [x, { ...y, window: { ...y.window!, field } }] });
    expect(at('y_bass')).toThrowErrorMatchingInlineSnapshot(
      `[ShaderError: elementwise-unary: the dispatcher fills a field that Params must have: expected y_bass: u32 (Params.y_bass). Make the call agree with elementwise-unary.wgsl.]`,
    );
    expect(at('alpha')).toThrow('expected alpha: u32, got f32');
  });

  it('for a binding that is missing, unknown, there twice, or read where the text writes', () => {
    const [x, y] = call.bindings;
    expect(changed({ bindings: [x] })).toThrowErrorMatchingInlineSnapshot(
      `[ShaderError: elementwise-unary: a binding is named once: expected 1, got 0 (binding y). Make the call agree with elementwise-unary.wgsl.]`,
    );
    expect(changed({ bindings: [x, y, { name: 'z', access: 'read' }] })).toThrowErrorMatchingInlineSnapshot(
      `[ShaderError: elementwise-unary: the text declares no such binding: expected [x, y], got z (binding z). Make the call agree with elementwise-unary.wgsl.]`,
    );
    expect(changed({ bindings: [x, y, y] })).toThrow('a binding is named once');
    expect(changed({ bindings: [x, { ...y, access: 'read' }] })).toThrowErrorMatchingInlineSnapshot(
      `[ShaderError: elementwise-unary: the text gives a binding another access: expected read_write, got read (binding y). Make the call agree with elementwise-unary.wgsl.]`,
    );
    expect(changed({ bindings: [{ ...x, access: 'update' }, y] })).toThrow('expected read, got update (binding x)');
    expect(changed({ bindings: [x, { ...y, access: 'update' }] })).not.toThrow();
  });

  it('when it is added to a list, before anything is made on the device', async () => {
    const gpu = await testGpu();
    const slice = createStorage(gpu, 256, 'x');
    const list = new DispatchList(gpu);
    expect(() => list.add({ ...call, params: { ...call.params, low: Number.NaN } }, { x: slice, y: slice })).toThrow(
      'elementwise-unary: a word is not finite',
    );
    expect(list.length).toBe(0);
    slice.buffer.destroy();
  });
});

describe('a text that has changed under its call is noticed', () => {
  it.each([
    ['a field is renamed', /\bhigh: f32/, 'top: f32'],
    ['a field is gone', / high: f32,/, ''],
    ['a field is new', /count: u32,/, 'count: u32, depth: u32,'],
    ['a float has become whole', /beta: f32/, 'beta: i32'],
    ['a binding is renamed', /> y: array/, '> z: array'],
    ['a binding is read only', /read_write> y/, 'read> y'],
    ['a window has lost its field', /x_base: u32, /, ''],
    ['a field stands twice', /count: u32,/, 'count: u32, width: u32,'],
    ['a field is a vector', /width: u32/, 'width: vec2u'],
    ['a binding has another number', /@binding\(2\)/, '@binding(3)'],
    ['the struct has another name', /struct Params/, 'struct Sizes'],
  ])('when %s', (_, from, to) => {
    const broken = changed({ ...mutated(from, to), params: { ...call.params, beta: 0.5 } });
    expect(broken).toThrow(ShaderError);
    expect(broken).toThrow(/^elementwise-unary: /);
  });

  it('when the struct has more fields than a block has words', () => {
    const more = Array.from({ length: 60 }, (_, i) => `extra${i}: u32,`).join(' ');
    expect(changed(mutated(/count: u32,/, `count: u32, ${more}`))).toThrow(
      'Params is too long: expected at most 64 fields',
    );
  });

  it('but not when a comment speaks of a struct or a binding', () => {
    const said = '// struct Params { a: u32 } @group(0) @binding(9) var<storage, read> w: f32\n';
    expect(declarationsOf({ ...call, source: said + call.source })).toEqual(declarationsOf(call));
  });

  it('and the struct may stand in a lib', () => {
    const [struct = ''] = /struct Params \{[^}]*\}/.exec(call.source) ?? [];
    const split = { ...call, source: call.source.replace(struct, ''), libs: [...call.libs, struct] };
    expect(checkCall(split).words).toEqual(checkCall(call).words);
  });
});
