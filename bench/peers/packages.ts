/** The packages of each peer, pinned: what `npm ci` installs. */

import type { PeerName } from '../schema.ts';
import jaxManifest from './packages/jax/package.json' with { type: 'json' };
import jaxLock from './packages/jax/package-lock.json' with { type: 'json' };
import onnxruntimeManifest from './packages/onnxruntime/package.json' with { type: 'json' };
import onnxruntimeLock from './packages/onnxruntime/package-lock.json' with { type: 'json' };
import tfjsManifest from './packages/tfjs/package.json' with { type: 'json' };
import tfjsLock from './packages/tfjs/package-lock.json' with { type: 'json' };

/** What a peer is installed from. */
export interface PeerPackages {
  /** The package that is named in results. */
  readonly package: string;
  /** Its version, which names the folder too. */
  readonly version: string;
  /** package.json with exact versions. */
  readonly manifest: object;
  /** package-lock.json with the hash of every package. */
  readonly lock: object;
  /** Bytes on the disk, about: what people are told before it is fetched. */
  readonly bytes: number;
}

/** Every peer. */
export const PEER_PACKAGES: Readonly<Record<PeerName, PeerPackages>> = {
  onnxruntime: {
    package: 'onnxruntime-node',
    version: onnxruntimeManifest.dependencies['onnxruntime-node'],
    manifest: onnxruntimeManifest,
    lock: onnxruntimeLock,
    bytes: 310e6,
  },
  tfjs: {
    package: '@tensorflow/tfjs-backend-webgpu',
    version: tfjsManifest.dependencies['@tensorflow/tfjs-backend-webgpu'],
    manifest: tfjsManifest,
    lock: tfjsLock,
    bytes: 80e6,
  },
  jax: {
    package: '@jax-js/jax',
    version: jaxManifest.dependencies['@jax-js/jax'],
    manifest: jaxManifest,
    lock: jaxLock,
    bytes: 2e6,
  },
};
