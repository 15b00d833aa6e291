'use client';

import './bundled.js';

export default function Page() {
  return <p>bundled</p>;
}
