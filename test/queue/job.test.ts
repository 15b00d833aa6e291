/** Jobs as plain data: who asks for the same arrives at the same id, and who asks for anything else at another. */
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { canonicalJson } from '../../src/core/canonical-json.ts';
import { memorySource } from '../../src/io/sources.ts';
import { directory } from '../../src/node/files.ts';
import { checkJob, type FleetRequest, jobOf, queueNameOf } from '../../src/queue/job.ts';
import { hashOf, modelKey, sha256Of } from '../../src/queue/model-key.ts';
import { folderResults, removeParts } from '../../src/queue/result-store.ts';
import { TransferError } from '../../src/queue/transfer-error.ts';

const HASH = 'a'.repeat(64);
const REQUEST: FleetRequest = {
  picture: { uri: 'file:///in/a.png', sha256: HASH },
  model: { id: 'orchard', key: 'b'.repeat(64) },
  edit: { sourcePrompt: 'a bowl of apples', targetPrompt: 'a bowl of pears' },
};

describe('a job', () => {
  it('has the same id however it is asked for: defaults written out, names in another order, another address, another name', () => {
    const { id } = jobOf(REQUEST);
    expect(id).toBe('79c8bff6ac6c0709d9d7ccde0cc2d73f0a86c74242309a753db536578ce2cdcc');
    const same: FleetRequest[] = [
      {
        ...REQUEST,
        edit: { seed: 0, numInferenceSteps: 50, targetPrompt: 'a bowl of pears', sourcePrompt: 'a bowl of apples' },
      },
      { ...REQUEST, picture: { uri: 'https://elsewhere.example/b.png', sha256: HASH } },
      { ...REQUEST, model: { id: 'another name', key: 'b'.repeat(64) } },
      { ...REQUEST, results: { folder: 'sub' } },
    ];
    expect(same.map(request => jobOf(request).id)).toEqual(Array(4).fill(id));
  });

  it('has another id for another picture, mask, model, word or number', () => {
    const others: FleetRequest[] = [
      { ...REQUEST, picture: { uri: 'file:///in/a.png', sha256: 'c'.repeat(64) } },
      { ...REQUEST, mask: { uri: 'file:///in/m.png', sha256: HASH } },
      { ...REQUEST, model: { id: 'orchard', key: 'd'.repeat(64) } },
      ...[
        { seed: 1 },
        { guidanceScale: 2 },
        { targetPrompt: 'pears' },
        { fit: 'crop' as const },
        { negativePrompt: '' },
      ].map(more => ({
        ...REQUEST,
        edit: { ...REQUEST.edit, ...more },
      })),
    ];
    const ids = [REQUEST, ...others].map(request => jobOf(request).id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('comes through JSON as it was, and is checked anew', () => {
    const job = jobOf({
      ...REQUEST,
      edit: { ...REQUEST.edit, guidanceInterval: [0.2, 1], fit: 'nearest', size: { width: 64, height: 64 } },
    });
    expect(checkJob(JSON.parse(JSON.stringify(job)))).toEqual(job);
  });

  it.each([
    [{ picture: { uri: 'file:///a', sha256: 'A'.repeat(64) } }, 'picture.sha256'],
    [{ picture: { uri: '', sha256: HASH } }, 'picture.uri'],
    [{ model: { id: 'x', key: 'short' } }, 'model.key'],
    [{ model: { id: '', key: HASH } }, 'model.id'],
    [{ edit: { sourcePrompt: 'a' } }, 'targetPrompt'],
    [{ edit: { sourcePrompt: ['a'], targetPrompt: ['b'] } }, 'sourcePrompt'],
    [{ edit: { ...REQUEST.edit, numInferenceSteps: 0 } }, 'numInferenceSteps'],
    [{ edit: { ...REQUEST.edit, generator: {} } }, 'generator'],
    [{ results: { folder: '../out' } }, '../out'],
    [{ results: { images: [], json: 'https://a.example/' } }, 'results.images'],
    [{ results: { images: ['https://a.example/'] } }, 'results.json'],
    [{ shell: 'rm' }, 'shell'],
  ])('%j is refused by name', (more, name) => {
    expect(() => jobOf({ ...REQUEST, ...more } as FleetRequest)).toThrow(name);
  });

  it('waits in a queue of its model', () => {
    expect(queueNameOf('edits', 'b'.repeat(64))).toBe(`edits.${'b'.repeat(16)}`);
    expect(() => queueNameOf('a:b', HASH)).toThrow('no name of a queue');
  });
});

describe('plain data', () => {
  it('is one text by RFC 8785', () => {
    const value = { b: [1, 1e21, -0, 0.1, 'ä"\u2028'], a: { 10: null, 9: true }, '': {} };
    expect(canonicalJson(value)).toBe('{"":{},"a":{"10":null,"9":true},"b":[1,1e+21,0,0.1,"ä\\"\u2028"]}');
  });
});

describe('the key of a model', () => {
  it('is of every byte that its numbers come from, and of what changes them', async () => {
    const folder = await directory('models/orchard/stable-diffusion');
    const key = await modelKey(folder, { dtype: 'float32' });
    expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(await modelKey(folder, { dtype: 'float32' })).toBe(key);
    const one = { sha256: HASH, scale: 1 };
    const others = [
      { dtype: 'float16' as const },
      { dtype: 'float32' as const, mendQuirks: true },
      { dtype: 'float32' as const, vaeTiles: 64 },
      { dtype: 'float32' as const, loras: [one] },
      { dtype: 'float32' as const, loras: [{ ...one, scale: 0.5 }] },
      { dtype: 'float32' as const, embeddings: [{ sha256: HASH, token: '<cat>' }] },
    ];
    const keys = [key];
    for (const settings of others) keys.push(await modelKey(folder, settings));
    // One byte in the middle of the UNet, where a fingerprint of ends does not look.
    const changed = {
      ...folder,
      has: (name: string) => folder.has(name),
      text: (name: string) => folder.text(name),
      bytes: async (name: string) => {
        const source = await folder.bytes(name);
        if (!name.startsWith('unet/')) return source;
        return {
          ...{ label: source.label, byteLength: source.byteLength },
          close: async () => source.close?.(),
          async read(at: number, into: Uint8Array) {
            await source.read(at, into);
            const middle = Math.floor(source.byteLength / 2) - at;
            if (middle >= 0 && middle < into.length) into[middle] ^= 1;
          },
        };
      },
    };
    keys.push(await modelKey(changed as typeof folder, { dtype: 'float32' }));
    expect(new Set(keys).size).toBe(keys.length);
  });

  it('is read in slices, between which others have their turn, and ends with the signal', async () => {
    const bytes = new Uint8Array(9 * 2 ** 20).fill(7);
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    const told: number[] = [];
    expect(await hashOf(memorySource(bytes), { onProgress: done => told.push(done) })).toBe(sha256Of(bytes));
    clearInterval(timer);
    expect([told, turns > 0]).toEqual([[4, 8, 9].map(mib => mib * 2 ** 20), true]);
    await expect(hashOf(memorySource(bytes), { signal: AbortSignal.abort('enough') })).rejects.toBe('enough');
  });
});

describe('results', () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'pentimento-results-'));
  });
  afterEach(() => rm(root, { recursive: true }));
  const file = (suffix: string, text: string) => ({ suffix, bytes: Buffer.from(text), type: 'x' });
  const files = [file('.png', '.png'), file('.json', JSON.stringify({ id: HASH }))];

  it('appear whole, below the folder that the job names, the JSON last; what a kill left goes', async () => {
    await mkdir(join(root, '.parts', 'old'), { recursive: true });
    await mkdir(join(root, '.parts', 'now'));
    await utimes(join(root, '.parts', 'old'), 0, 0);
    await removeParts(root);
    const store = await folderResults(root);
    expect(await store.has(HASH)).toBe(false);
    await store.write(HASH, files);
    expect(await store.has(HASH)).toBe(true);
    expect((await readdir(root)).sort()).toEqual(['.parts', `${HASH}.json`, `${HASH}.png`]);
    expect(await readdir(join(root, '.parts'))).toEqual(['now']); // another writes there
    const below = await folderResults(root, 'fruit/pears');
    await below.write(HASH, files);
    expect(await readFile(join(root, 'fruit', 'pears', `${HASH}.png`), 'utf8')).toBe('.png');
    // What lies there is removed after an hour.
    for (const parts of ['.parts', '.Parts/x']) {
      await expect(folderResults(root, parts)).rejects.toThrow('a folder of files that are being written');
    }
    await expect(folderResults(root, '../out')).rejects.toThrow('leads elsewhere');
    await expect(folderResults(root, 'Fruit')).rejects.toThrow('differs only by case');
  });

  it.skipIf(process.platform !== 'linux')('are tried again where this worker may not write', async () => {
    const store = await folderResults('/sys/kernel/pentimento');
    await expect(store.write(HASH, files)).rejects.toThrow(TransferError);
  });

  it('leave nothing where they cannot be written, or the call ends', async () => {
    await writeFile(join(root, 'file'), '');
    const store = await folderResults(join(root, 'file'));
    await expect(store.write(HASH, files)).rejects.toThrow();
    const ended = await folderResults(root);
    await expect(ended.write(HASH, files, AbortSignal.abort('enough'))).rejects.toBe('enough');
    expect((await readdir(root)).sort()).toEqual(['.parts', 'file']);
    expect(await readdir(join(root, '.parts'))).toEqual([]);
  });
});
