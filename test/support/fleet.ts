/** Fleets of stub pipelines: what a queue does, without a device. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { encodePng } from '../../src/node/images.ts';
import type { Editor } from '../../src/pipeline/batch/picture-edit.ts';
import type { RunArgs, RunOutput } from '../../src/pipeline/diffedit/types.ts';
import { type FleetJob, jobOf } from '../../src/queue/job.ts';
import { sha256Of } from '../../src/queue/model-key.ts';
import type { FleetModel, OpenFleetModel } from '../../src/queue/models.ts';

/** A key that is a hash, of a name. */
const keyOf = (name: string): string => sha256Of(name);

/** Writes `count` pictures; each has bytes of its own. */
export async function pictures(folder: string, count: number): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const paths = Array.from({ length: count }, (_, i) => join(folder, `p${String(i).padStart(5, '0')}.png`));
  for (const [i, path] of paths.entries()) {
    const data = new Uint8Array(192).fill(i % 251);
    data[0] = i >> 8;
    await writeFile(path, encodePng({ width: 8, height: 8, data }));
  }
  return paths;
}

/** Jobs for pictures. @param more of the request */
export async function jobsFor(
  paths: readonly string[],
  { model = 'stub', seed = 0, ...edit }: { model?: string; seed?: number; targetPrompt?: string } = {},
): Promise<FleetJob[]> {
  const { readFile } = await import('node:fs/promises');
  return Promise.all(
    paths.map(async path =>
      jobOf({
        picture: { uri: pathToFileURL(path).href, sha256: sha256Of(await readFile(path)) },
        model: { id: model, key: keyOf(model) },
        edit: { sourcePrompt: 'a bowl of apples', targetPrompt: 'a bowl of pears', seed, ...edit },
      }),
    ),
  );
}

/** An editor that inverts colours; `run` is asked first. */
function stubEditor(run: (args: RunArgs) => void | Promise<void> = () => undefined): Editor {
  return {
    defaultSize: { width: 8, height: 8 },
    vaeScaleFactor: 8,
    async run(args): Promise<RunOutput> {
      await run(args);
      args.signal?.throwIfAborted();
      const { width, height, data } = args.image as { width: number; height: number; data: Uint8Array };
      const mask = { data: Float32Array.of(1), shape: [1, 1, 1] };
      return {
        images: [{ width, height, data: data.map(v => 255 - v) }],
        mask: { mask, map: mask },
        timings: { edit: 1 },
      };
    },
  };
}

/** A model of such an editor, which counts how often it was opened. */
export function stubModel(
  name = 'stub',
  run?: (args: RunArgs) => void | Promise<void>,
  more: Partial<OpenFleetModel> = {},
): FleetModel & { opened: number; disposed: number } {
  const model = {
    ...{ key: keyOf(name), id: name, opened: 0, disposed: 0 },
    async open(): Promise<OpenFleetModel> {
      model.opened++;
      const dispose = (): void => {
        model.disposed++;
      };
      return { editor: stubEditor(run), device: 'stub', dispose, ...more };
    },
  };
  return model;
}
