/** The texts of the family `matrix`, for matrix units in reach of kernels. */
import attentionMatrix from '../../wgsl/attention-matrix.wgsl';
import gemmMatrix from '../../wgsl/gemm-matrix.wgsl';
import matrixEntry from '../../wgsl/lib/matrix-entry.wgsl';
import matrixEntryPinned from '../../wgsl/lib/matrix-entry-pinned.wgsl';
import matrixF16 from '../../wgsl/lib/matrix-f16.wgsl';
import matrixF32 from '../../wgsl/lib/matrix-f32.wgsl';
import matrixInputF16 from '../../wgsl/lib/matrix-input-f16.wgsl';
import matrixInputF32 from '../../wgsl/lib/matrix-input-f32.wgsl';
import matrixWeightF16 from '../../wgsl/lib/matrix-weight-f16.wgsl';
import matrixWeightF32 from '../../wgsl/lib/matrix-weight-f32.wgsl';
import type { FamilyTexts } from './family-texts.ts';

/** By their stems. */
export const MATRIX_TEXTS: FamilyTexts = {
  'attention-matrix': attentionMatrix,
  'gemm-matrix': gemmMatrix,
  'lib/matrix-entry': matrixEntry,
  'lib/matrix-entry-pinned': matrixEntryPinned,
  'lib/matrix-f16': matrixF16,
  'lib/matrix-f32': matrixF32,
  'lib/matrix-input-f16': matrixInputF16,
  'lib/matrix-input-f32': matrixInputF32,
  'lib/matrix-weight-f16': matrixWeightF16,
  'lib/matrix-weight-f32': matrixWeightF32,
};
