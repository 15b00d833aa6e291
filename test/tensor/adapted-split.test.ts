/** An adapter's weights merged as they are read, in a layer whose K axis is cut and which measures what the norm behind it wants to know. */
import { expect, it } from 'vitest';
import { mergeLora } from '../../src/io/lora-merge.ts';
import { Linear } from '../../src/nn/linear.ts';
import { GroupNorm } from '../../src/nn/norm.ts';
import { Weights } from '../../src/nn/weights.ts';
import * as reference from '../reference/gemm.ts';
import { groupNorm } from '../reference/group-norm.ts';
import { expectClose } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { memoryCheckpoint } from '../support/memory-checkpoint.ts';
import { limited } from '../support/rows.ts';
import { randoms } from '../support/run-kernel.ts';
import { runTwice } from '../support/run-twice.ts';

const [K, N, IMAGES, PIXELS, RANK, SCALE] = [4096, 1024, 2, 16, 3, 0.5];
const gpu = await testGpu({ bare: true });
const checkpoint = memoryCheckpoint({
  'wide.weight': { shape: [N, K], values: randoms(N * K, 1) },
  'wide.bias': { shape: [N], values: randoms(N, 2) },
  'norm.weight': { shape: [N], values: randoms(N, 3) },
  'norm.bias': { shape: [N], values: randoms(N, 4) },
});
const [down, up] = [randoms(RANK * K, 5), randoms(N * RANK, 6)];
const file = memoryCheckpoint({
  down: { shape: [RANK, K], values: down },
  up: { shape: [N, RANK], values: up },
});
const adapter = { file, down: 'down', up: 'up', rank: RANK, scale: SCALE };
const input = randoms(IMAGES * PIXELS * K, 7);

/** What the layer and its norm make of pictures of 4 x 4, twice; which kernels run, and what the second run created. */
async function run(source: typeof checkpoint) {
  const w = Weights.open(source);
  const wide = new Linear(w.at('wide'), { in: K, out: N });
  const norm = new GroupNorm(w.at('norm'), { channels: N, groups: 32, eps: 1e-5 });
  await w.load(gpu);
  const on = limited(gpu, { software: false });
  return runTwice(gpu, input, [IMAGES, PIXELS, K], x => norm.forward(wide.forward(x).image(4, 4)).tokens(), { on });
}

it('gives what merged weights give in f64, by the kernels that the layer has without an adapter', async () => {
  const plain = await run(checkpoint);
  const { result, kernels, counts } = await run(mergeLora(checkpoint, new Map([['wide.weight', [adapter]]])));
  expect(kernels).toEqual(['gemm-tile', 'sum-parts', 'group-norm-finalize-tile', 'group-norm-apply']);
  expect(kernels).toEqual(plain.kernels);
  expect(counts).toEqual({ buffers: 0, bindGroups: 0, pipelines: 0, maps: 0, submits: 1 });

  const merged = randoms(N * K, 1).map((v, at) => {
    const [row, column] = [Math.floor(at / K), at % K];
    let sum = 0;
    for (let r = 0; r < RANK; r++) sum += up[row * RANK + r] * down[r * K + column];
    return v + SCALE * sum;
  });
  const bias = randoms(N, 2);
  const sums = reference.matmul(input, merged, IMAGES * PIXELS, N, K).map((sum, i) => sum + bias[i % N]);
  const shape = { images: IMAGES, pixels: PIXELS, channels: N, groups: 32, eps: 1e-5 };
  expectClose(result, groupNorm(sums, randoms(N, 3), randoms(N, 4), shape, false), 2e-6);
});
