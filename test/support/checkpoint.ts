import { fileURLToPath } from 'node:url';
import type { TensorSource } from '../../src/core/tensor-source.ts';
import { openSafetensors } from '../../src/io/safetensors.ts';
import { fileSource } from '../../src/node/files.ts';

/** Path of something under test/golden. */
export function goldenPath(path: string): string {
  return fileURLToPath(new URL(`../golden/${path}`, import.meta.url));
}

/** A safetensors file under test/golden as a model's weights. */
export async function checkpoint(path: string): Promise<TensorSource> {
  return openSafetensors(await fileSource(goldenPath(path)));
}

/** The same tensors under other names (and shapes): what files of other writers look like. */
export function renamed(
  source: TensorSource,
  rename: (name: string) => string,
  reshape: (name: string, shape: readonly number[]) => readonly number[] = (_, shape) => shape,
): TensorSource {
  const origins = new Map<string, string>();
  const tensors = new Map(
    [...source.tensors.values()].map(tensor => {
      const name = rename(tensor.name);
      origins.set(name, tensor.name);
      return [name, { ...tensor, name, shape: reshape(name, tensor.shape) }] as const;
    }),
  );
  return {
    label: source.label,
    tensors,
    read: (name, start, into) => source.read(origins.get(name) ?? name, start, into),
    close: async () => source.close?.(),
  };
}
