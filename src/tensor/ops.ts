/** The tensor layer's face for nn and the models: tensors, parameters and the functions that record operations, by hand. */

export type { Padding } from '../kernels/conv2d.ts';
export { argmax } from './ops/argmax.ts';
export { type AttentionMasks, attention } from './ops/attention.ts';
export { cacheAppend, cacheGather, LARGEST_GROUP } from './ops/cache.ts';
export { convolution, linear } from './ops/contraction.ts';
export { concat, lastRows } from './ops/copy.ts';
export { guidedNoise, guidedStep, maskMap, STEP_SHAPE } from './ops/diffusion.ts';
export { embed, embedColumns } from './ops/embedding.ts';
export { groupNorm, layerNorm, rmsNorm } from './ops/norm.ts';
export { unary } from './ops/unary.ts';
export { upsample } from './ops/upsample.ts';
export { Parameter } from './parameter.ts';
export { type Recorder, Tensor } from './tensor.ts';
