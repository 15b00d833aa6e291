/** Files that were given as adapters are closed when they, those before them or the model are refused. */
import { expect, it } from 'vitest';
import { memorySource } from '../../src/io/sources.ts';
import type { PretrainedOptions } from '../../src/pipeline/diffedit/pipeline.ts';
import type { EmbeddingInput } from '../../src/pipeline/diffusion/textual-inversion-sources.ts';
import { openPipeline } from '../support/pipeline.ts';

/** A file that counts how often it is closed. */
function counted(closed: Map<string, number>, name: string) {
  return {
    ...memorySource(new Uint8Array(100), name),
    close: async () => void closed.set(name, (closed.get(name) ?? 0) + 1),
  };
}

const MODEL = 'test/golden/sd1/model';

it.each<[string, string, (file: (name: string) => ReturnType<typeof counted>) => PretrainedOptions, string]>([
  ['the model', 'test/golden', f => ({ loras: [{ source: f('a') }], embeddings: [{ source: f('b') }] }), 'a b'],
  ['an option', MODEL, f => ({ dtype: 'int8' as 'float16', loras: [{ source: f('a') }] }), 'a'],
  ['the first of several', MODEL, f => ({ loras: [{ source: f('a') }, { source: f('b') }] }), 'a b'],
  ['one by its scale', MODEL, f => ({ loras: [{ source: f('a'), scale: Number.NaN }, { source: f('b') }] }), 'a b'],
  ['an embedding', MODEL, f => ({ loras: [{ source: f('a') }], embeddings: [{ source: f('b'), token: 'x' }] }), 'a b'],
  ['one by its token', MODEL, f => ({ embeddings: [{ source: f('a'), token: ['x', 'y'] }] }), 'a'],
  ['one by a wrong name', MODEL, f => ({ embeddings: [{ source: f('a'), tok: 'x' } as EmbeddingInput] }), 'a'],
])('%s is refused', async (_what, folder, options, expected) => {
  const closed = new Map<string, number>();
  const given = { modelCpuOffload: true, ...options(name => counted(closed, name)) };
  await expect(openPipeline(folder, given)).rejects.toThrow();
  expect([...closed].sort()).toEqual(expected.split(' ').map(name => [name, 1]));
});
