// The one way in which this page makes elements: preact by htm, with hooks and signals.
import { h, render, Fragment } from "preact";
import htm from "htm";

export const html = htm.bind(h);
export { render, Fragment };
export { useState, useEffect, useRef, useMemo, useCallback, useErrorBoundary, useLayoutEffect } from "preact/hooks";
export { signal, computed, effect, batch } from "@preact/signals";
