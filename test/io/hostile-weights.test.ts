/** Files that are made to fill the memory or to take for ever, one for each way there is. */
import { describe, expect, it } from 'vitest';
import type { TensorSource } from '../../src/core/tensor-source.ts';
import { memorySource } from '../../src/io/sources.ts';
import { openWeightFile } from '../../src/io/weight-file.ts';
import { zipOf } from '../support/zip-writer.ts';

const SIZE = 2 ** 20;
const latin = (text: string): Uint8Array => Uint8Array.from(text, c => c.charCodeAt(0));
/** A beginning, then a text again and again up to the size, then an end. */
const repeated = (head: string, body: string, tail = ''): Uint8Array =>
  latin(head + body.repeat((SIZE - head.length - tail.length) / body.length) + tail);
const open = (bytes: Uint8Array): Promise<TensorSource> => openWeightFile(memorySource(bytes, 'x'));
const pickled = (pickle: Uint8Array | string): Uint8Array =>
  zipOf(new Map([['a/data.pkl', typeof pickle === 'string' ? latin(`\x80\x02${pickle}`) : pickle]]));
function headed(header: Uint8Array): Uint8Array {
  const file = new Uint8Array(8 + header.length);
  new DataView(file.buffer).setUint32(0, header.length, true);
  file.set(header, 8);
  return file;
}

/** Strings, tensors and storages as torch.save pickles them. */
const text = (value: string): string => `X${String.fromCharCode(value.length)}\0\0\0${value}`;
const int = (value: number): string =>
  `J${String.fromCharCode(value & 255, (value >> 8) & 255, (value >> 16) & 255, value >> 24)}`;
const storage = `(${text('storage')}ctorch\nByteStorage\n${text('0')}${text('cpu')}${int(8)}tQ`;
const tensor = (shape: number[], stride: number[]): string =>
  `ctorch._utils\n_rebuild_tensor_v2\n(${storage}K\0(${shape.map(int).join('')}t(${stride.map(int).join('')}t\x89}tR`;
const dict = (...items: string[]): string => `}(${items.join('')}u`;
const withStorage = (pickle: string): Uint8Array =>
  zipOf(
    new Map([
      ['a/data.pkl', latin(`\x80\x02${pickle}.`)],
      ['a/data/0', Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)],
    ]),
  );

describe('a small file', () => {
  it.each([
    ['dicts', '\x80\x02', '}'],
    ['tuples of one', '\x80\x02N', '\x85'],
    ['memo entries', '\x80\x02N', '\x94'],
    ['bytes', '\x80\x02', 'C\x01a'],
  ])('does not make millions of %s', async (_, head, body) => {
    await expect(open(pickled(repeated(head, body)))).rejects.toThrow(/the pickle builds far more than it holds/);
  });

  it.each([
    ['marks', '\x80\x02', '('],
    ['lists', '\x80\x02', ']'],
    ['objects', '\x80\x02', 'ca\nb\n)R'],
    ['names', '\x80\x02', 'ca\nb\n'],
    ['copies', '\x80\x02N', '2'],
    ['numbers', '\x80\x02', 'K\x01'],
    ['strings', '\x80\x02', 'U\x01a'],
    ['long integers', '\x80\x02', `\x8a\xff${'\x7f'.repeat(255)}`],
    ['entries under one number of the memo', '\x80\x02N', 'q\x01'],
  ])('of %s alone comes to its end', async (_, head, body) => {
    await expect(open(pickled(repeated(head, body)))).rejects.toThrow(/cut short|builds far more/);
  });

  it.each([
    ['lists in each other', '{"a":', '['],
    ['lists in each other as a shape', '{"a":{"dtype":"U8","data_offsets":[0,0],"shape":', '['],
  ])('does not make millions of %s', async (_, head, body) => {
    await expect(open(headed(repeated(head, body)))).rejects.toThrow(/far more than tensors in its length/);
  });

  it('with many lists in its strings is read', async () => {
    const source = await open(headed(repeated('{"__metadata__":{"a":"', '[\\"', '"}}')));
    expect(source.tensors.size).toBe(0);
  });

  it('is named in a short message, whatever it holds', async () => {
    const deep = `${'['.repeat(2000)}${']'.repeat(2000)}`;
    const bodies = [
      `"a":{"dtype":"U8","shape":${deep},"data_offsets":[0,0]}`,
      `"a":"${'b'.repeat(1e5)}"`,
      `"${'c'.repeat(1e5)}":1`,
    ];
    for (const body of bodies) {
      const error: unknown = await open(headed(latin(`{${body}}`))).catch((e: unknown) => e);
      expect(error).toMatchObject({ code: 'weights' });
      expect(String(error).length).toBeLessThan(600);
      expect(JSON.stringify(error).length).toBeLessThan(2000);
    }
  });
});

describe('a pickle', () => {
  it('that holds itself is refused or read, and comes to an end', async () => {
    const self = `}q\0(${text('state_dict')}h\0${text('a')}h\0u`;
    await expect(open(withStorage(self))).rejects.toThrow(/holds no tensors at the top or under "state_dict"/);
    const list = `]q\0h\0a`;
    await expect(open(withStorage(dict(text('a'), list)))).rejects.toThrow(/holds no tensors/);
    const weights = await open(withStorage(`}q\0(${text('state_dict')}h\0${text('w')}${tensor([8], [1])}u`));
    expect([...weights.tensors.keys()]).toEqual(['w']);
  });

  it('of dicts that hold one another many times over is passed once', async () => {
    let laugh = dict(text('w'), tensor([8], [1]));
    for (let level = 0; level < 3; level++) {
      const many = Array.from({ length: 200 }, (_, i) => `${text(`k${i}`)}h${String.fromCharCode(level)}`);
      laugh = `${laugh}q${String.fromCharCode(level)}0${dict(...many)}`;
    }
    expect([...(await open(withStorage(laugh))).tensors.keys()]).toEqual(['k0.k0.k0.w']);
  });

  it('with a tensor that repeats its storage is measured by the file', async () => {
    const small = await open(withStorage(dict(text('w'), tensor([100, 8], [0, 1]))));
    const bytes = new Uint8Array(800);
    await small.read('w', 0, bytes);
    expect([...bytes.subarray(792)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    await expect(open(withStorage(dict(text('w'), tensor([2 ** 30, 8], [0, 1]))))).rejects.toThrow(
      /tensor "w" repeats its storage without measure: got 8589934592 bytes of a file of \d+/,
    );
    const empty = [...Array(40).fill(2 ** 30), 0];
    const none = await open(withStorage(dict(text('w'), tensor(empty, empty))));
    expect(none.tensors.get('w')?.byteLength).toBe(0);
  });

  it('with more axes than tensors have is refused', async () => {
    const axes = Array<number>(65).fill(1);
    await expect(open(withStorage(dict(text('w'), tensor(axes, axes))))).rejects.toThrow(/too many axes: got 65/);
  });

  it.each([
    ['posix\nsystem'],
    ['os\nsystem'],
    ['nt\nsystem'],
    ['subprocess\nPopen'],
    ['builtins\nexec'],
    ['__builtin__\neval'],
    ['runpy\n_run_code'],
    ['torch.hub\nload'],
    ['torch\nload'],
    ['importlib\nimport_module'],
    ['urllib.request\nurlopen'],
    ['pickle\nloads'],
  ])('that names %j is refused, though nothing would run', async name => {
    const message = `asks to run something: got ${name.replace('\n', '.')}`;
    await expect(open(withStorage(dict(text('w'), tensor([8], [1]), text('x'), `c${name}\n)R`)))).rejects.toThrow(
      message,
    );
  });
});
