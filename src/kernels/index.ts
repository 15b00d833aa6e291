/**
 * The kernels and their dispatcher, for people who measure or reuse them: `pentimento/kernels`. A kernel function turns a problem
 * into a KernelCall, plain data; a DispatchList runs calls on buffers.
 */

import { BROADCAST_TEXTS } from './broadcast-texts.ts';
import { addTexts } from './family-texts.ts';
import { MATRIX_TEXTS } from './matrix-texts.ts';

// The device, its buffers, and the text of a kernel.
export {
  type BufferSlice,
  copySlice,
  createMapped,
  createStorage,
  destroySlice,
  type MappedBuffer,
  readSlice,
  SLICE_ALIGN,
  writeSlice,
} from '../gpu/buffer.ts';
export {
  type Caps,
  type CapsOptions,
  DEFAULT_BINDING_BYTES,
  type HalfStorage,
  type MatrixUnits,
  readCaps,
} from '../gpu/caps.ts';
export { Gpu, type GpuOptions } from '../gpu/device.ts';
export type { Access } from '../gpu/pipelines.ts';
export { type Program, specialize, type Values } from '../gpu/specialize.ts';
// The kernels.
export { type ArgmaxProblem, argmax } from './argmax.ts';
export { ATTENTION, type AttentionBias, type AttentionProblem, type AttentionRows, attention } from './attention.ts';
export { type BlendEdgeProblem, blendEdge, type MapSides } from './blend-edge.ts';
export { type CacheAppendProblem, cacheAppend } from './cache-append.ts';
export { type CacheGatherProblem, cacheGather, LARGEST_GROUP } from './cache-gather.ts';
export { type CleanBoundProblem, cleanBound } from './clean-bound.ts';
export type { ConvGeometry, PhaseLines } from './conv-pixels.ts';
export { CONV2D, type Conv2dProblem, conv2d, conv2dSize, type Padding } from './conv2d.ts';
export { type CopyProblem, type CopyRows, type CopySource, copy } from './copy.ts';
// Calls, and what they must agree with.
export {
  type BindingDeclaration,
  BLOCK_WORDS,
  type Declarations,
  declarationsOf,
  type ParamField,
  type WordType,
} from './declarations.ts';
export {
  type BoundSlice,
  type DescribedDispatch,
  DispatchList,
  type ProfiledDispatch,
  type TileRange,
} from './dispatch.ts';
export { type DrawLatentsProblem, drawLatents } from './draw-latents.ts';
export {
  type BinaryOperation,
  type Broadcast,
  type ElementwiseBinaryProblem,
  elementwiseBinary,
} from './elementwise-binary.ts';
export {
  type ElementwiseUnaryProblem,
  elementwiseUnary,
  UNARY_FUNCTION,
  type UnaryFunction,
} from './elementwise-unary.ts';
export {
  type EmbeddingProblem,
  type EmbeddingTable,
  type EmbeddingWindow,
  embedding,
  embeddingWindows,
} from './embedding.ts';
export { type FoldDoublingProblem, foldDoubling } from './fold-doubling.ts';
export { type GatherColumnsProblem, gatherColumns } from './gather-columns.ts';
export { type Epilogue, GEMM_TILE, type GemmProblem, type GemmTile, MOMENT_ROWS, momentsPitch, PANEL } from './gemm.ts';
export type { NormalizedInput } from './gemm-problem.ts';
export { GEMV_ROWS } from './gemv.ts';
export { type GroupNormProblem, type GroupNormSizes, type GroupNormSource, groupNormSizes } from './group-norm.ts';
export { type GroupNormApplyProblem, groupNormApply } from './group-norm-apply.ts';
export { GROUP_NORM_FINALIZE, type GroupNormFinalizeProblem, groupNormFinalize } from './group-norm-finalize.ts';
export { type GroupNormMergeProblem, groupNormMerge } from './group-norm-merge.ts';
export { groupNormStats } from './group-norm-stats.ts';
export { type GuidanceRescaleProblem, guidanceRescale } from './guidance-rescale.ts';
export { type GuidedNoiseProblem, guidedNoise } from './guided-noise.ts';
export { type GuidedStepProblem, guidedStep } from './guided-step.ts';
export { type HistoryStoreProblem, historyStore } from './history-store.ts';
export {
  type Cost,
  type KernelBinding,
  type KernelCall,
  type RowLayout,
  type Storage,
  storageBytes,
} from './kernel.ts';
export { LAYER_NORM, type LayerNormProblem, layerNorm, RMS_NORM, rmsNorm } from './layer-norm.ts';
export { ACTIVATION, type Activation, activationLib, inputLib, outputLib, weightLib } from './libs.ts';
export { LINEAR, linear } from './linear.ts';
export { cleanupWords, type MaskCleanupProblem, maskCleanup } from './mask-cleanup.ts';
export { type MaskMapProblem, maskMap } from './mask-map.ts';
export { type MaskThresholdProblem, maskThreshold } from './mask-threshold.ts';
export { MATMUL, type MatmulProblem, matmul } from './matmul.ts';
// Ops with variants, and the choice among them.
export {
  type Condition,
  callOf,
  candidatesOf,
  choose,
  measures,
  nameOf,
  type Op,
  type PackedLayout,
  type Split,
  type Tiles,
  type TunedChoice,
  type Tuning,
  through,
  type Variant,
} from './op.ts';
export { type HeadSpread, type PackProblem, packedColumns, packWeight } from './pack-weight.ts';
export { type Panels, type PanelWindow, panelWindows } from './panel-windows.ts';
export { checkTuning, OPS } from './registry.ts';
export { FLAT_TILE, flatRows, type RowRange, type Rows, requirePitch, requireSizes, rowBinding } from './rows.ts';
export { SOFTMAX, type SoftmaxProblem, softmax } from './softmax.ts';
export { packStep, STEP_BYTES, type StepValues, stepLib } from './step.ts';
export { type TopKProblem, topK } from './top-k.ts';
export { type UpsampleNearestProblem, upsampleNearest } from './upsample-nearest.ts';
export { layoutOfWeight, ROW_COUNTS, type UnpackedWeight, weightLayout } from './weight-layout.ts';
export { type CheckedCall, checkCall } from './words.ts';

// Kernel functions are no promises: all texts are there with the first import. package.json names this entry for it, in "sideEffects".
addTexts(BROADCAST_TEXTS);
addTexts(MATRIX_TEXTS);
