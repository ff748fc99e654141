"""A world to rehearse in: simulated DNS, mailbox providers that are real SMTP servers, people who read and click."""
