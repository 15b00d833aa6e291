/** The texts of the family `broadcast`, for subgroups of 4 to 16 lanes: software Vulkan above all. */
import attentionBroadcast from '../../wgsl/attention-broadcast.wgsl';
import attentionBroadcastWide from '../../wgsl/attention-broadcast-wide.wgsl';
import gemmBroadcast from '../../wgsl/gemm-broadcast.wgsl';
import gemvBroadcast from '../../wgsl/gemv-broadcast.wgsl';
import groupNormFinalizeBroadcast from '../../wgsl/group-norm-finalize-broadcast.wgsl';
import layerNormBroadcast from '../../wgsl/layer-norm-broadcast.wgsl';
import softmaxBroadcast from '../../wgsl/softmax-broadcast.wgsl';
import type { FamilyTexts } from './family-texts.ts';

/** By their stems. */
export const BROADCAST_TEXTS: FamilyTexts = {
  'attention-broadcast': attentionBroadcast,
  'attention-broadcast-wide': attentionBroadcastWide,
  'gemm-broadcast': gemmBroadcast,
  'gemv-broadcast': gemvBroadcast,
  'group-norm-finalize-broadcast': groupNormFinalizeBroadcast,
  'layer-norm-broadcast': layerNormBroadcast,
  'softmax-broadcast': softmaxBroadcast,
};
