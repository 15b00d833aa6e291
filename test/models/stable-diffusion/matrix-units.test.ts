/**
 * The networks of SD 2.1 in small by matrix units alone, against the recorded activations of their last layers. They run where the
 * adapter has matrix units, which lavapipe has from Mesa 26 on: on others the same checks take what the device chooses.
 */
import { expect, test } from 'vitest';
import { timestepFeatures } from '../../../src/models/stable-diffusion/unet.ts';
import { DeviceTensor } from '../../../src/tensor/device-tensor.ts';
import { Graph } from '../../../src/tensor/graph.ts';
import { expectClose } from '../../support/close.ts';
import { type GoldenTensor, loadGolden } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';
import { force } from '../../support/rows.ts';
import { loadPart } from '../../support/stable-diffusion.ts';
