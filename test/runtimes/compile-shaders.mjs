/**
 * Compiles shaders by the runtime's own WebGPU: Firefox's and Deno's is wgpu, whose compiler is naga.
 * @param {readonly { name: string, code: string }[]} shaders
 * @returns {Promise<{ name: string, message: string }[]>} what was refused, as a module or as a pipeline
 */
export async function compileAll(shaders) {
  const adapter = await navigator.gpu.requestAdapter();
  const { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX } =
    adapter.limits;
  const device = await adapter.requestDevice({
    requiredFeatures: ['shader-f16'],
    requiredLimits: { maxComputeWorkgroupStorageSize, maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupSizeX },
  });
  const refused = [];
  for (const { name, code } of shaders) {
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ label: name, code });
    device.createComputePipeline({ label: name, layout: 'auto', compute: { module, entryPoint: 'main' } });
    const error = await device.popErrorScope();
    if (error) refused.push({ name, message: error.message });
  }
  device.destroy();
  return refused;
}
