/** What a worker of this library runs: `createWorkerPipeline` starts it. @module */
import type { PortLike } from './peer.ts';
import { serveModels } from './serve.ts';

serveModels(globalThis as unknown as PortLike);
