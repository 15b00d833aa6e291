import { existsSync } from 'node:fs';

/** WebGPU on SwiftShader, without a window and without a sandbox (tests may run as root). */
export const CHROMIUM_FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--enable-features=Vulkan',
  '--disable-dev-shm-usage',
] as const;

/** Debian's Chromium, or what CHROMIUM_PATH names. */
export function chromiumPath(): string {
  const asked = process.env.CHROMIUM_PATH;
  const found =
    asked ??
    ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(path => existsSync(path));
  if (!found)
    throw new Error('The browser tests need Chromium: run scripts/setup-debian.sh --browser, or set CHROMIUM_PATH.');
  return found;
}
