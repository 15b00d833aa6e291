/** Workers of one thread: a channel of messages, and behind it what a test makes of a model. */
import { afterEach } from 'vitest';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import type { PortLike } from '../../src/worker/index.ts';
import { type ModelKind, type ServeOptions, serveModels } from '../../src/worker/serve.ts';

/** Methods and fields of a model that is none. */
export type Stand = Record<string, unknown>;

/** Ports to workers, closed behind each test. */
export function workersOfTests(): {
  served(options: ServeOptions): PortLike;
  standIn(made: (options: Stand, source: FolderSource, kind: ModelKind) => Stand | Promise<Stand>): PortLike;
} {
  const channels: MessageChannel[] = [];
  afterEach(() => {
    for (const { port1, port2 } of channels.splice(0)) for (const port of [port1, port2]) port.close();
  });
  const served = (options: ServeOptions): PortLike => {
    const { port1, port2 } = new MessageChannel();
    channels.push({ port1, port2 } as MessageChannel);
    serveModels(port2 as unknown as PortLike, options);
    return port1 as unknown as PortLike;
  };
  return {
    served,
    standIn: made =>
      served({
        requestGpu: async () => ({ caps: { vendor: 'none' }, dispose() {} }) as never,
        async open(kind, source, options) {
          const model = await made(options, source as FolderSource, kind);
          const plain = { dtype: 'float32', bytes: 1, hostBytes: 2, peakBytes: 3, dispose() {} };
          return { gpu: options['gpu'], ...plain, ...model } as never;
        },
      }),
  };
}
