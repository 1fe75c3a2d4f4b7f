"""The synthetic co-culture plate: small, seeded, and its truth is known."""
