/** Entry of the work page. */
export {};
